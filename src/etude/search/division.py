"""Judged queries divided into those to learn from and those to be judged by."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable
from typing import Any

from etude.errors import InputError
from etude.search.collection import Collection, Judged


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


def shared(collection: Collection, share: float, seed: int) -> tuple[Judged | None, Judged]:
    """Queries to learn from, None if their share is 0, and queries to be judged by; see `divided`."""
    whole = Judged(collection.queries, collection.qrels)
    return divided(whole, share, seed) if share else (None, whole)


def check_share(verb: Callable[..., Any], needed: set[str], share: float, name: str) -> None:
    """Raise `InputError`, naming ``train``, if a verb cannot do without judged queries and there are none.

    Parameters
    ----------
    verb : that is to be called.
    needed : names of its parameters that come from judged queries.
    share : of the queries to learn from.
    name : of the method.
    """
    parameters = inspect.signature(verb).parameters
    if not share and any(
        parameters[each].default is inspect.Parameter.empty for each in needed & set(parameters)
    ):
        raise InputError("train", f"{name} learns from judged queries: give a share, such as 0.5")
