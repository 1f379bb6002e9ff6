"""Search token vectors with Etude, or by hand, called as ``ours_late.py JOB RESULT``."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from late_passages import load, timed

from etude.engine.measure import measured
from etude.search.late.scoring import maxsim
from etude.search.late.segment import Segment, write_segment
from etude.search.late.tokens import Tokens
from etude.search.retrieve import XTR, ColBERT

K = 100
Search = Callable[[torch.Tensor], tuple[Any, Any]]


def of_etude(search: dict[str, Any], segment: Segment) -> Search:
    """XTR or ColBERT over an index on disk."""
    method = {"xtr": XTR, "colbert": ColBERT}[search["method"]](**search["fields"])
    return lambda query: method.find([segment], query, K)


def exact(documents: Tokens) -> Search:
    """`maxsim` over all vectors in memory."""

    def search(query: torch.Tensor) -> tuple[Any, Any]:
        scores, places = maxsim(Tokens.of([query]), documents)[0].topk(K)
        return places, scores

    return search


def numpy(documents: Tokens) -> Search:
    """One product, then the largest of each stretch; what one writes by hand."""
    vectors, starts = documents.vectors.numpy(), documents.starts[:-1].numpy()

    def search(query: torch.Tensor) -> tuple[Any, Any]:
        scores = np.maximum.reduceat(query.numpy() @ vectors.T, starts, axis=1).mean(0)
        best = np.argpartition(-scores, K)[:K]
        best = best[np.argsort(-scores[best])]
        return best, scores[best]

    return search


def sentence_transformers(documents: Tokens) -> Search:
    """Its ``maxsim``, which takes a list of matrices."""
    from sentence_transformers.util.similarity import maxsim as theirs

    texts = list(torch.split(documents.vectors, documents.lengths.tolist()))

    def search(query: torch.Tensor) -> tuple[Any, Any]:
        scores, places = theirs([query], texts)[0].topk(K)
        return places, scores

    return search


WAYS = {"exact": exact, "numpy": numpy, "sentence-transformers": sentence_transformers}


def in_memory(job: dict[str, Any], documents: Tokens, queries: Any) -> list[dict[str, Any]]:
    """All vectors, as they are; nothing is built."""
    found, times = timed(WAYS[job["way"]](documents), queries)
    return [{"found": found, "ms": times, "bytes": documents.vectors.numel() * 4, "build_cpu_s": 0.0}]


def on_disk(job: dict[str, Any], documents: Tokens, queries: Any) -> list[dict[str, Any]]:
    """One index for all searches that are asked of it."""
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with measured() as built:
            write_segment(folder, documents.vectors.numpy(), documents.lengths, job["bits"], 0)
        size = sum(file.stat().st_size for file in folder.iterdir())
        segment = Segment(folder, job["bits"])
        for search in job["searches"]:
            found, times = timed(of_etude(search, segment), queries)
            results.append({"found": found, "ms": times, "bytes": size, "build_cpu_s": built["cpu_s"]})
    return results


if __name__ == "__main__":
    torch.set_num_threads(1)
    job = json.loads(Path(sys.argv[1]).read_text())
    texts, queries = load(Path(job["vectors"]), job["documents"], job["queries"])
    results = (on_disk if "bits" in job else in_memory)(job, Tokens(*texts), queries)
    Path(sys.argv[2]).write_text(json.dumps({"searches": results}))
