"""Reranking: one token beside a written ranking, one long window beside sliding ones, and readers of pairs.

python benchmarks/rerank.py window   20 short passages: FIRST, a written ranking, transformers' `generate`
python benchmarks/rerank.py list     FIRST's windows on 100 candidates; full ranking and windows on 20
python benchmarks/rerank.py pairs    100 candidates: cross-encoder, beside sentence-transformers; MaxSim
"""

from __future__ import annotations

import argparse
from statistics import median
from typing import Any

from common import HERE, Unavailable, machine, play, table, write_results

OURS = HERE / "ours_rerank.py"
WINDOW, PAIRS = {"depth": 20, "queries": 10}, {"depth": 100, "queries": 10}
PARTS: dict[str, tuple[dict[str, Any], ...]] = {
    "window": (
        {"title": "FIRST, one token", "method": "first", **WINDOW},
        {"title": "FIRST, all queries at once", "method": "first", "at_once": True, **WINDOW},
        {"title": "the same prompt, written", "method": "first", "answer": "generated", **WINDOW},
        {"title": "transformers' generate", "by": "transformers", "method": "first", **WINDOW},
    ),
    "list": (
        {"title": "FIRST, windows of 20 on 100", "method": "first", "depth": 100, "queries": 1},
        {"title": "full ranking of 20", "method": "full-ranking", "depth": 20, "queries": 2},
        {
            "title": "windows of 4 on 20",
            "method": "rankgpt",
            "window": 4,
            "stride": 2,
            "depth": 20,
            "queries": 2,
        },
    ),
    "pairs": (
        {"title": "cross-encoder", "method": "cross-encoder", **PAIRS},
        {"title": "theirs", "by": "sentence-transformers", "method": "cross-encoder", **PAIRS},
        {"title": "MaxSim", "method": "maxsim", **PAIRS},
    ),
}


def measured(job: dict[str, Any], repeats: int) -> dict[str, Any]:
    """Medians of several processes, or why there are none."""
    try:
        runs = [play(OURS, job) for _ in range(repeats)]
    except Unavailable as reason:
        return {"line": job["title"], "note": str(reason)}
    return {"line": job["title"], **{name: median(run[name] for run in runs) for name in runs[0]}}


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("part", choices=tuple(PARTS))
    parser.add_argument("--repeats", type=int, default=1, help="processes for each line; medians are shown")
    options = parser.parse_args()
    rows = [measured(job, options.repeats) for job in PARTS[options.part]]
    print(table(rows))
    print(f"\nkept in {write_results(f'rerank-{options.part}', {'machine': machine(), 'rows': rows})}")


if __name__ == "__main__":
    main()
