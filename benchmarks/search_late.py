"""Late interaction beside its peers on the same token vectors: time, what is found, size, building.

50,000 passages of 18 words and 100 questions, read once by MiniLM (`late_passages`); PLAID, which takes a
second a question, on the first 10,000. Every line runs in a process of its own on one thread. Recall is the
share of the 100 documents of exact MaxSim that are among the 100 found.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from dataclasses import dataclass, field
from typing import Any

from late_passages import PASSAGES, vectors

from common import HERE, Unavailable, machine, peer_python, play, table, write_results

OURS = HERE / "ours_late.py"
PLAID = HERE / "peers" / "pylate-plaid.py"
FEW = 10_000
"""Passages for all lines, PLAID among them."""


@dataclass(frozen=True)
class Line:
    """One way to search."""

    title: str
    way: str
    fields: dict[str, Any] = field(default_factory=dict)
    queries: int = 100
    peer: str | None = None


def ours(title: str, method: str, **fields: Any) -> Line:
    return Line(title, "etude", {"method": method, **fields})


EXACT = Line("etude, exact MaxSim", "exact")
LINES = (
    EXACT,
    Line("numpy, product and reduceat", "numpy", queries=50),
    Line("sentence-transformers, maxsim", "sentence-transformers", queries=20),
    ours("etude, XTR, 4 bits", "xtr"),
    ours("etude, XTR, 4 bits, 4 probes", "xtr", probes=4),
    ours("etude, XTR, 2 bits", "xtr", bits=2),
    ours("etude, ColBERT, 8 bits", "colbert", bits=8),
    ours("etude, ColBERT, 4 bits", "colbert"),
    ours("etude, ColBERT, 4 bits, 4 probes", "colbert", probes=4),
    ours("etude, ColBERT, 4 bits, 32 probes", "colbert", probes=32),
    ours("etude, ColBERT, 2 bits", "colbert", bits=2),
    ours("etude, ColBERT, 1 bit", "colbert", bits=1),
)
PEER = Line("pylate, PLAID, 4 bits", "plaid", queries=20, peer="pylate")


def run(line: Line, documents: int) -> dict[str, Any]:
    """One line in its process."""
    job = {
        "vectors": str(vectors()),
        "documents": documents,
        "queries": line.queries,
        "way": line.way,
        "fields": line.fields,
    }
    if line.peer is not None:
        return play(PLAID, job, peer_python(line.peer))
    return play(OURS, job)


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
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True, help="run PLAID too")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="only lines with one of these words")
    options = parser.parse_args()
    words = [word.lower() for word in options.only or [""]]
    results: dict[str, Any] = {"machine": machine(), "options": vars(options), "tables": {}}
    for documents in options.documents:
        lines = [*LINES, *([PEER] if options.peers and documents <= FEW else [])]
        chosen = [line for line in lines[1:] if any(word in line.title.lower() for word in words)]
        exact = run(EXACT, documents)
        rows = [row(EXACT.title, exact, exact["found"])]
        for line in chosen:
            print(f"{documents}: {line.title}", file=sys.stderr)
            try:
                rows.append(row(line.title, run(line, documents), exact["found"]))
            except Unavailable as reason:
                rows.append({"line": line.title, "note": str(reason)})
        print(f"\n{documents} passages\n\n{table(rows)}", flush=True)
        results["tables"][str(documents)] = rows
    path = write_results("search-late" + ("" if options.only is None and options.peers else "-part"), results)
    print(f"written to {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
