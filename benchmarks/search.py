"""Search: BM25 beside bm25s, vectors beside FAISS, and how indexes grow; each line in a process of its own.

python benchmarks/search.py lexical    BM25 on NPL, 50,000 passages and 200,000 drawn texts, beside bm25s
python benchmarks/search.py dense      100,000 vectors of 128 numbers, flat, HNSW and IVF-PQ, beside FAISS
python benchmarks/search.py growth     1,000 to 1,000,000 documents, drawn: build, question, memory; a picture
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from common import HERE, Unavailable, machine, play, table, write_results

OURS = HERE / "ours_search.py"
PICTURE = HERE.parent / "docs" / "images" / "search-growth.png"
LEXICAL = ({"data": "npl"}, {"data": "passages"}, {"data": "drawn", "count": 200_000})
ENGINES = ("etude", "bm25s", "bm25s without numba", "bm25s, backend numba")
WIDTH, COUNT = 128, 100_000
GROWTH_WIDTH = 64
SIZES = (1_000, 10_000, 100_000, 1_000_000)


def lexical(repeats: int) -> list[dict[str, Any]]:
    """A line for each corpus and engine; ratios to bm25s as it comes, compiled where numba is."""
    rows = []
    for data in LEXICAL:
        lines = {by: measured({"what": "lexical", "by": by, **data}, repeats) for by in ENGINES}
        name = f"{data['data']}, {data['count']:,}" if "count" in data else data["data"]
        rows += [
            {"corpus": name, "engine": by, **columns(line, lines["bm25s"])} for by, line in lines.items()
        ]
    return rows


def dense(repeats: int) -> list[dict[str, Any]]:
    """A line for each kind of index, ours and FAISS's own; both are asked in turns, of the same file."""
    rows = []
    for kind in ("flat", "hnsw", "ivf-pq"):
        job = {"what": "vectors", "kind": kind, "count": COUNT, "width": WIDTH}
        ours = measured({**job, "by": "etude", "beside": True}, repeats)
        theirs = measured({**job, "by": "faiss"}, repeats)
        theirs |= {name.removeprefix("faiss_"): ours[name] for name in ours if name.startswith("faiss_")}
        lines = {"etude": ours, "faiss": theirs}
        rows += [{"index": kind, "by": by, **columns(line, theirs)} for by, line in lines.items()]
    return rows


def growth(repeats: int) -> list[dict[str, Any]]:
    """A line for each size and index, of drawn texts and vectors."""
    rows = []
    for count in SIZES:
        for kind in ("bm25", "flat", "hnsw", "ivf-pq"):
            job: dict[str, Any] = {"what": "vectors", "kind": kind, "count": count, "width": GROWTH_WIDTH}
            if kind == "bm25":
                job = {"what": "lexical", "data": "drawn", "count": count}
            rows.append(
                {"documents": count, "index": kind, **columns(measured({**job, "by": "etude"}, repeats))}
            )
            print(rows[-1], flush=True)
    return rows


def measured(job: dict[str, Any], repeats: int) -> dict[str, Any]:
    """Medians of several processes, or why there are none."""
    try:
        runs = [play(OURS, job) for _ in range(repeats)]
    except Unavailable as reason:
        return {"note": str(reason)}
    return {name: median(run[name] for run in runs) for name in runs[0]}


def columns(line: dict[str, Any], beside: dict[str, Any] | None = None) -> dict[str, Any]:
    """What is printed; and ratios of building and asking to another line's."""
    if "note" in line:
        return line
    shown = {
        "build, CPU s": line["cpu_s"],
        "extra MB": line["extra_mb"],
        "p50 ms": line["p50_ms"],
        "p95 ms": line["p95_ms"],
        "MB": line["mb"],
    }
    shown |= {name: line[name] for name in ("recall", "segments") if name in line}
    if beside is not None and "note" not in beside:
        shown |= {"build ×": line["cpu_s"] / beside["cpu_s"], "p50 ×": line["p50_ms"] / beside["p50_ms"]}
    return shown


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Building, asking, memory and size against the number of documents, both axes logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 4, figsize=(15, 3.6), layout="constrained")
    titles = {
        "build, CPU s": "build, CPU s",
        "p50 ms": "question, p50 ms",
        "extra MB": "memory of the build, MB",
        "MB": "index, MB",
    }
    for axis, (name, title) in zip(axes, titles.items(), strict=True):
        for kind in dict.fromkeys(row["index"] for row in rows):
            points = [(row["documents"], row[name]) for row in rows if row["index"] == kind and name in row]
            axis.plot(*zip(*points, strict=True), marker="o", label=kind)
        axis.set(xscale="log", yscale="log", xlabel="documents", title=title)
        axis.grid(alpha=0.3)
    axes[0].legend(frameon=False)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("lexical", "dense", "growth"))
    parser.add_argument("--repeats", type=int, default=1, help="processes for each line; medians are shown")
    options = parser.parse_args()
    rows = {"lexical": lexical, "dense": dense, "growth": growth}[options.what](options.repeats)
    print(table(rows))
    written = write_results(f"search-{options.what}", {"machine": machine(), "rows": rows})
    if options.what == "growth":
        draw(rows, PICTURE)
    print(f"\nkept in {written}")


if __name__ == "__main__":
    main()
