"""How long an answer takes, question by question."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from etude.search.collection import Queries, Run


def timed(search: Callable[[Queries], Run], queries: Queries) -> tuple[Run, dict[str, float]]:
    """Ask one question at a time; what was found, and ``p50_ms`` and ``p95_ms`` of the times.

    The first question is asked once more beforehand: what is only done once is not counted.

    Examples
    --------
    >>> run, times = timed(lambda one: {query: {"a": 1.0} for query in one}, {"q1": "wing", "q2": "tail"})
    >>> run, sorted(times)
    ({'q1': {'a': 1.0}, 'q2': {'a': 1.0}}, ['p50_ms', 'p95_ms'])
    """
    run: dict[str, dict[str, float]] = {}
    times = []
    for query in [*queries][:1]:
        search({query: queries[query]})
    for query, text in queries.items():
        start = time.perf_counter()
        found = search({query: text})
        times.append((time.perf_counter() - start) * 1e3)
        run |= {name: dict(ranking) for name, ranking in found.items()}
    cuts = statistics.quantiles(times, n=20, method="inclusive") if len(times) > 1 else [times[0]] * 19
    return run, {"p50_ms": statistics.median(times), "p95_ms": cuts[18]}
