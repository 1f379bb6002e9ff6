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


def of_etude(fields: dict[str, Any], documents: Tokens, folder: Path) -> tuple[Search, int]:
    """XTR or ColBERT over an index on disk; its size in bytes."""
    method = {"xtr": XTR, "colbert": ColBERT}[fields.pop("method")](**fields)
    write_segment(folder, documents.vectors.numpy(), documents.lengths, method.bits, method.lists)
    segment = Segment(folder, method.bits)
    size = sum(file.stat().st_size for file in folder.iterdir())
    return lambda query: method.find([segment], query, K), size


def exact(fields: dict[str, Any], documents: Tokens, folder: Path) -> tuple[Search, int]:
    """`maxsim` over all vectors in memory."""

    def search(query: torch.Tensor) -> tuple[Any, Any]:
        scores, places = maxsim(Tokens.of([query]), documents)[0].topk(K)
        return places, scores

    return search, documents.vectors.numel() * 4


def numpy(fields: dict[str, Any], documents: Tokens, folder: Path) -> tuple[Search, int]:
    """One product, then the largest of each stretch; what one writes by hand."""
    vectors, starts = documents.vectors.numpy(), documents.starts[:-1].numpy()

    def search(query: torch.Tensor) -> tuple[Any, Any]:
        scores = np.maximum.reduceat(query.numpy() @ vectors.T, starts, axis=1).mean(0)
        best = np.argpartition(-scores, K)[:K]
        best = best[np.argsort(-scores[best])]
        return best, scores[best]

    return search, vectors.nbytes


def sentence_transformers(fields: dict[str, Any], documents: Tokens, folder: Path) -> tuple[Search, int]:
    """Its ``maxsim``, which takes a list of matrices."""
    from sentence_transformers.util.similarity import maxsim as theirs

    texts = list(torch.split(documents.vectors, documents.lengths.tolist()))

    def search(query: torch.Tensor) -> tuple[Any, Any]:
        scores, places = theirs([query], texts)[0].topk(K)
        return places, scores

    return search, documents.vectors.numel() * 4


WAYS = {"etude": of_etude, "exact": exact, "numpy": numpy, "sentence-transformers": sentence_transformers}

if __name__ == "__main__":
    torch.set_num_threads(1)
    job = json.loads(Path(sys.argv[1]).read_text())
    texts, queries = load(Path(job["vectors"]), job["documents"], job["queries"])
    documents = Tokens(*texts)
    with tempfile.TemporaryDirectory() as folder:
        with measured() as built:
            search, size = WAYS[job["way"]](dict(job["fields"]), documents, Path(folder))
        found, times = timed(search, queries)
    result = {"found": found, "ms": times, "bytes": size, "build_cpu_s": built["cpu_s"]}
    Path(sys.argv[2]).write_text(json.dumps(result))
