"""Several runs made into one: by ranks, or by scores brought to one scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from etude.errors import InputError
from etude.search.collection import Run
from etude.search.runs import ranked


def reciprocal_ranks(
    runs: Sequence[Run], weights: Sequence[float] | None = None, constant: float = 60
) -> dict[str, dict[str, float]]:
    """Fuse runs by ``sum_r w_r / (constant + rank_r)``; a document that a run lacks gets nothing from it.

    Parameters
    ----------
    runs : any number, best first, of perhaps different queries.
    weights : one for each run; None for 1 each.
    constant : how little the first ranks stand out, > -1.

    Returns
    -------
    dict : query to document to score; among equals, the one that stands earlier in the earlier run is first.

    Raises
    ------
    InputError : naming ``weights`` if there is not one for each run, ``constant`` if it is -1 or less.

    Examples
    --------
    >>> first, second = {"q": {"a": 9.0, "b": 5.0}}, {"q": {"b": 0.3, "c": 0.2}}
    >>> reciprocal_ranks([first, second])["q"] == {"b": 1 / 62 + 1 / 61, "a": 1 / 61, "c": 1 / 62}
    True

    References
    ----------
    Cormack, Clarke and Buettcher, "Reciprocal Rank Fusion outperforms Condorcet and individual rank learning
    methods", SIGIR 2009.
    """
    if constant <= -1:
        raise InputError("constant", f"{constant} is not above -1")
    gains = [
        {
            query: {document: 1 / (constant + rank) for rank, document in enumerate(ranking, 1)}
            for query, ranking in run.items()
        }
        for run in runs
    ]
    return _summed(gains, weights)


def weighted(runs: Sequence[Run], weights: Sequence[float] | None = None) -> dict[str, dict[str, float]]:
    """Fuse runs by ``sum_r w_r * s_r``, the scores of each query and run brought to [0, 1] by min and max.

    A document that a run lacks gets nothing from it; so does one that is the last of a run. Where all scores
    of a run are equal, they become 0.

    Parameters
    ----------
    runs : any number, best first.
    weights : one for each run; None for 1 each.

    Raises
    ------
    InputError : naming ``weights`` if there is not one for each run.

    Examples
    --------
    >>> first, second = {"q": {"a": 9.0, "b": 5.0}}, {"q": {"b": 0.4, "c": 0.2, "a": 0.1}}
    >>> weighted([first, second], [1.0, 0.5])
    {'q': {'a': 1.0, 'b': 0.5, 'c': 0.16...}}
    """
    return _summed([{query: _scaled(ranking) for query, ranking in run.items()} for run in runs], weights)


def _scaled(ranking: Mapping[str, float]) -> dict[str, float]:
    low, high = min(ranking.values(), default=0.0), max(ranking.values(), default=0.0)
    return {document: (score - low) / max(high - low, 1e-9) for document, score in ranking.items()}


def _summed(gains: Sequence[Run], weights: Sequence[float] | None) -> dict[str, dict[str, float]]:
    weights = [1.0] * len(gains) if weights is None else weights
    if len(weights) != len(gains):
        raise InputError("weights", f"there are {len(weights)} for {len(gains)} runs")
    totals: dict[str, dict[str, float]] = {}
    for run, weight in zip(gains, weights, strict=True):
        for query, ranking in run.items():
            sums = totals.setdefault(query, {})
            for document, gain in ranking.items():
                sums[document] = sums.get(document, 0.0) + weight * gain
    return {query: ranked([*sums], [*sums.values()]) for query, sums in totals.items()}
