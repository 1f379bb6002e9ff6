"""Late interaction beside its peers on the same token vectors: time, what is found, size, building.

50,000 passages of 18 words and 100 questions, read once by MiniLM (`late_passages`), and the first 10,000 of
them. Every line runs in a process of its own on one thread. Recall is the share of the 100 documents of exact
MaxSim that are among the 100 found. PLAID builds for two minutes at 10,000, and for long at 50,000.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from dataclasses import dataclass
from typing import Any

from late_passages import PASSAGES, vectors

from common import HERE, Unavailable, machine, peer_python, play, table, write_results

OURS = HERE / "ours_late.py"
PLAID = HERE / "peers" / "pylate-plaid.py"
FEW = 10_000


@dataclass(frozen=True)
class Job:
    """What one process does: the titles of its lines, and how it searches."""

    titles: tuple[str, ...]
    asks: dict[str, Any]
    peer: str | None = None


def coded(bits: int, **searches: tuple[str, dict[str, Any]]) -> Job:
    """An index of Etude's, and searches of it."""
    titles = tuple(f"etude, {title.replace('_', ' ')}, {bits} bits" for title in searches)
    found = [{"method": method, "fields": {"bits": bits, **fields}} for method, fields in searches.values()]
    return Job(titles, {"bits": bits, "searches": found})


EXACT = Job(("etude, exact MaxSim",), {"way": "exact"})
JOBS = (
    Job(("numpy, product and reduceat",), {"way": "numpy"}),
    Job(("sentence-transformers, maxsim",), {"way": "sentence-transformers", "queries": 20}),
    coded(
        4,
        XTR=("xtr", {}),
        XTR_4_probes=("xtr", {"probes": 4}),
        ColBERT=("colbert", {}),
        ColBERT_4_probes=("colbert", {"probes": 4}),
        ColBERT_32_probes=("colbert", {"probes": 32}),
        ColBERT_32_probes_2000_candidates=("colbert", {"probes": 32, "candidates": 2000}),
    ),
    coded(2, XTR=("xtr", {}), ColBERT=("colbert", {})),
    Job(("pylate, PLAID, 4 bits",), {"queries": 20}, peer="pylate"),
)


def run(job: Job, documents: int) -> list[dict[str, Any]]:
    """One process; what each of its lines found."""
    asked = {"vectors": str(vectors()), "documents": documents, "queries": 100, **job.asks}
    found = play(PLAID, asked, peer_python(job.peer)) if job.peer is not None else play(OURS, asked)
    searches: list[dict[str, Any]] = found["searches"]
    return searches


def row(title: str, found: dict[str, Any], exact: list[list[int]]) -> dict[str, Any]:
    """A line of the table."""
    pairs = list(zip(found["found"], exact, strict=False))
    times = sorted(found["ms"])
    return {
        "line": title,
        "p50 CPU ms": statistics.median(times),
        "p95 CPU ms": times[int(0.95 * (len(times) - 1))],
        "recall@100": statistics.fmean(len(set(one) & set(other)) / len(other) for one, other in pairs),
        "MB": found["bytes"] / 1e6,
        "build CPU s": found["build_cpu_s"],
        "queries": len(times),
    }


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--documents", type=int, nargs="+", default=[FEW, PASSAGES], help="passages")
    parser.add_argument("--only", default="", metavar="WORD", help="only lines whose title holds this word")
    options = parser.parse_args()
    jobs = [job for job in JOBS if any(options.only in title for title in job.titles)]
    results: dict[str, Any] = {"machine": machine(), "options": vars(options), "tables": {}}
    for documents in options.documents:
        exact = run(EXACT, documents)[0]
        rows = [row(EXACT.titles[0], exact, exact["found"])]
        for job in jobs:
            print(f"{documents}: {', '.join(job.titles)}", file=sys.stderr)
            try:
                rows += [
                    row(*line, exact["found"]) for line in zip(job.titles, run(job, documents), strict=True)
                ]
            except Unavailable as reason:
                rows += [{"line": title, "note": str(reason)} for title in job.titles]
        print(f"\n{documents} passages\n\n{table(rows)}", flush=True)
        results["tables"][str(documents)] = rows
    part = ["part"] if options.only else []  # must not take the place of a whole run
    path = write_results("-".join(map(str, ["search-late", *options.documents, *part])), results)
    print(f"written to {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
