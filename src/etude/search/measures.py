"""How good a run is: measures of ``ir-measures``, averaged over all judged queries."""

from __future__ import annotations

from collections.abc import Iterable

from etude.errors import InputError
from etude.search.collection import Qrels, Run
from etude.search.runs import strict

MEASURES = ("nDCG@10", "R@10", "R@100", "RR")
"""What retrieval is judged by, in the grammar of ``ir-measures``."""


def measure(run: Run, qrels: Qrels, measures: Iterable[str] = MEASURES) -> dict[str, float]:
    """Average each measure over the queries of the judgements; a query that the run lacks counts 0.

    Documents stand as the run has them: ties are broken as they stand, not by name as TREC's tool would.

    Parameters
    ----------
    run : query to document to score, best first.
    qrels : query to document to grade.
    measures : names in the grammar of ``ir-measures``: ``nDCG@10``, ``R@100``, ``RR@10``, ``AP``, ``P@5`` ..

    Returns
    -------
    dict : a value in [0, 1] for each measure.

    Raises
    ------
    InputError : naming ``measures`` for a name that is none, ``qrels`` if nothing is judged.

    Examples
    --------
    >>> measure({"q": {"b": 2.0, "a": 1.0}}, {"q": {"a": 1}}, ["RR", "nDCG@10"])
    {'RR': 0.5, 'nDCG@10': 0.6309297535714575}
    """
    return {
        name: sum(values.values()) / len(values) for name, values in by_query(run, qrels, measures).items()
    }


def by_query(run: Run, qrels: Qrels, measures: Iterable[str] = MEASURES) -> dict[str, dict[str, float]]:
    """Each measure of each judged query, for paired comparisons; see `measure`."""
    from ir_measures import iter_calc, parse_measure

    if not qrels:
        raise InputError("qrels", "judge no query")
    parsed = {}
    for name in measures:
        try:
            parsed[parse_measure(name)] = name
        except (NameError, SyntaxError, ValueError) as error:
            raise InputError("measures", f"{name!r} is no measure of ir-measures ({error})") from error
    found = {name: dict.fromkeys(qrels, 0.0) for name in parsed.values()}
    graded = {query: dict(grades) for query, grades in qrels.items()}
    for metric in iter_calc(
        [*parsed], graded, {query: strict(run[query]) for query in run if query in qrels}
    ):
        found[parsed[metric.measure]][metric.query_id] = float(metric.value)
    return found
