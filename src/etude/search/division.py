"""Judged queries divided into those to learn from and those to be judged by."""

from __future__ import annotations

import random

from etude.errors import InputError
from etude.search.collection import Judged


def divided(judged: Judged, share: float, seed: int) -> tuple[Judged, Judged]:
    """A share of the queries, drawn under a seed, and the others.

    Parameters
    ----------
    judged : queries with judgements.
    share : of the queries to learn from, in (0, 1); at least one is on either side.
    seed : of the draw.

    Raises
    ------
    InputError : naming ``train`` if there are less than two queries.

    Examples
    --------
    >>> queries = {str(number): f"question {number}" for number in range(4)}
    >>> train, test = divided(Judged(queries, {query: {"a": 1} for query in queries}), 0.5, seed=0)
    >>> sorted([*train.queries, *test.queries])
    ['0', '1', '2', '3']
    """
    names = [*judged.queries]
    if len(names) < 2:
        raise InputError("train", "there are too few queries to divide them")
    drawn = random.Random(seed).sample(names, min(max(1, round(share * len(names))), len(names) - 1))
    parts = (
        [name for name in names if name in set(drawn)],
        [name for name in names if name not in set(drawn)],
    )
    first, second = (
        Judged({n: judged.queries[n] for n in part}, {n: judged.qrels[n] for n in part}) for part in parts
    )
    return first, second
