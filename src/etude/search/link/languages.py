"""Names in many languages that mean the same."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

Entity = TypeVar("Entity", bound=Hashable)


def marginal(
    scored: Sequence[tuple[str, float, int]], entities: Mapping[str, Entity], power: float = 0.5
) -> dict[Entity, float]:
    """Scores of entities from those of their names: ``log sum exp(log p / tokens ** power)``, best first.

    Parameters
    ----------
    scored : names that were generated ("Troja >> de", say), with their log-probability and number of tokens.
    entities : what each name means; one that means nothing is left out.
    power : of the number of tokens.

    Examples
    --------
    >>> names = [("Troy >> en", -2.0, 4), ("Troja >> de", -2.0, 4), ("Paris >> en", -1.8, 4)]
    >>> marginal(names, {"Troy >> en": "Q22647", "Troja >> de": "Q22647", "Paris >> en": "Q90"})
    {'Q22647': -0.306..., 'Q90': -0.9}

    References
    ----------
    De Cao et al., "Multilingual Autoregressive Entity Linking", TACL 2022. arXiv:2103.12528.
    """
    terms: dict[Entity, list[float]] = {}
    for name, log_prob, tokens in scored:
        if name in entities:
            terms.setdefault(entities[name], []).append(log_prob / tokens**power)
    sums = {entity: _log_sum_exp(values) for entity, values in terms.items()}
    return dict(sorted(sums.items(), key=lambda one: -one[1]))


def _log_sum_exp(values: Sequence[float]) -> float:
    highest = max(values)
    return highest + math.log(sum(math.exp(value - highest) for value in values))
