"""Lexical and vector search by Etude and by bm25s and FAISS used directly: ``ours_search.py JOB RESULT``."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from etude.engine.measure import measured

QUERIES, K = 200, 100
LINKS, BUILD_EFFORT, EFFORT, PROBES = 32, 200, 100, 16


def corpus(job: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Texts and questions: of a collection, of the 50,000 passages, or drawn."""
    if job["data"] == "passages":
        from late_passages import texts

        return texts()
    if job["data"] == "drawn":
        return drawn_texts(job["count"]), drawn_texts(QUERIES, words=4, seed=1)
    from etude.data.collections import load_collection

    found = load_collection(job["data"])
    return [document.content for document in found.documents], [*found.queries.values()]


def drawn_texts(count: int, words: int = 40, seed: int = 0) -> list[str]:
    """Texts of words from a vocabulary of 200,000 whose frequencies fall as one over the rank."""
    draw = np.random.default_rng(seed)
    ranks = np.exp(draw.random((count, words)) * np.log(200_000)).astype(int)
    return [" ".join(f"word{rank}" for rank in row) for row in ranks.tolist()]


def drawn_vectors(count: int, width: int, seed: int = 0) -> Any:
    """Vectors of length 1 around 1,000 centres."""
    draw = np.random.default_rng(seed)
    centres = np.random.default_rng(7).normal(size=(1000, width)).astype(np.float32)
    vectors = draw.normal(size=(count, width)).astype(np.float32) + centres[draw.integers(1000, size=count)]
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def asked(
    queries: Sequence[Any], *searches: Callable[[Any], Any], repeats: int = 3
) -> list[dict[str, float]]:
    """Median and 95th percentile of the milliseconds of a question, for each of several searches.

    They take turns at every question, so that what else the machine does falls on all of them; the fastest of
    so many times counts.
    """
    for search in searches:
        for query in queries[:10]:
            search(query)
    times = np.empty((repeats, len(queries), len(searches)))
    for row, query in enumerate(queries):
        for (column, search), turn in product(enumerate(searches), range(repeats)):
            start = time.perf_counter()
            search(query)
            times[turn, row, column] = (time.perf_counter() - start) * 1e3
    cuts = np.percentile(times.min(0), (50, 95), axis=0)
    return [{"p50_ms": half, "p95_ms": most} for half, most in cuts.T.tolist()]


def lexical(job: dict[str, Any]) -> dict[str, Any]:
    """Build an index of words, and ask it one question at a time."""
    texts, queries = corpus(job)
    return (our_words if job["by"] == "etude" else their_words)(job, texts, queries)


def our_words(job: dict[str, Any], texts: Sequence[str], queries: Sequence[str]) -> dict[str, Any]:
    """With documents and identifiers stored, as a user gets them."""
    from etude.search.collection import Document
    from etude.search.retrieve import BM25

    documents = [Document(str(number), text) for number, text in enumerate(texts)]
    BM25().index(documents[:10])  # what is imported once is not counted
    with measured() as figures:
        index = BM25().index(documents)
    (times,) = asked(queries, lambda text: index.search({"q": text}, K))
    return figures | times | {"mb": index.bytes / 1e6}


def their_words(job: dict[str, Any], texts: Sequence[str], queries: Sequence[str]) -> dict[str, Any]:
    """bm25s as it comes, without numba, or with all of it compiled; written to disk, as an index is."""
    import bm25s
    import Stemmer

    words = {"stopwords": "en", "stemmer": Stemmer.Stemmer("english"), "show_progress": False}
    kinds: dict[str, dict[str, Any]] = {
        "bm25s": {},
        "bm25s without numba": {"auto_compile": False},
        "bm25s, backend numba": {"backend": "numba"},
    }
    names = [str(number) for number in range(len(texts))]
    bm25s.BM25().index(bm25s.tokenize(["warm up"], **words), show_progress=False)
    with tempfile.TemporaryDirectory() as folder:
        with measured() as figures:
            index = bm25s.BM25(**kinds[job["by"]])
            index.index(bm25s.tokenize(list(texts), **words), show_progress=False)
            index.save(folder, show_progress=False)
        size = sum(path.stat().st_size for path in Path(folder).iterdir())

    def search(text: str) -> dict[str, float]:
        rows, scores = index.retrieve(bm25s.tokenize([text], **words), k=K, show_progress=False)
        return dict(zip([names[row] for row in rows[0].tolist()], scores[0].tolist(), strict=True))

    (times,) = asked(queries, search)
    return figures | times | {"mb": size / 1e6}


class Given:
    """Vectors as they are, where an encoder would make them: documents are their numbers."""

    fingerprint = "given"

    def __init__(self, vectors: Any, queries: Any) -> None:
        self._vectors, self._queries = vectors, queries

    def documents(self, texts: Sequence[str]) -> Any:
        return self._vectors[int(texts[0]) : int(texts[-1]) + 1]

    def queries(self, texts: Sequence[str]) -> Any:
        return self._queries[int(texts[0]) : int(texts[-1]) + 1]

    def save(self, folder: Path) -> None:
        """Nothing was learnt."""


def vectors(job: dict[str, Any]) -> dict[str, Any]:
    """Build an index of vectors, and ask it one question at a time."""
    held, queries = drawn_vectors(job["count"], job["width"]), drawn_vectors(QUERIES, job["width"], seed=1)
    if job["by"] == "etude":
        return our_vectors(job, held, queries)
    return their_vectors(job, held, queries)


def our_vectors(job: dict[str, Any], held: Any, queries: Any) -> dict[str, Any]:
    """With documents and identifiers stored, as a user gets them; FAISS asked beside it, if it is to be."""
    from etude.search.collection import Document
    from etude.search.retrieve import Dense, build
    from etude.search.retrieve.vectors import Layout, VectorEngine

    def documents() -> Iterator[Document]:
        for number in range(len(held)):
            yield Document(str(number), str(number))

    layout = Layout(job["kind"], LINKS, BUILD_EFFORT, EFFORT, probes=PROBES, code=job["width"] // 4)
    build(Dense(), VectorEngine(Given(held, queries), Layout()), [Document("0", "0")])  # imports, uncounted
    with measured() as figures:
        index = build(Dense(kind=job["kind"]), VectorEngine(Given(held, queries), layout), documents())

    def search(number: int) -> dict[str, float]:
        return index.search({"q": str(number)}, K)["q"]

    ids = [[int(document) for document in search(number)] for number in range(len(queries))]
    theirs = [faiss_of(index, queries)] if job.get("beside") else []
    times, *beside = asked(range(len(queries)), search, *theirs)
    return (
        figures
        | times
        | {f"faiss_{name}": figure for line in beside for name, figure in line.items()}
        | {
            "mb": index.bytes / 1e6,
            "recall": recall(ids, held, queries),
            "segments": len(index.manifest.segments),
        }
    )


def faiss_of(index: Any, queries: Any) -> Callable[[int], dict[str, float]]:
    """The only segment of our index in FAISS's own hands: the same file, read into memory.

    It must find the same as we do.
    """
    import faiss

    from etude.search.retrieve.vectors import FILE

    (segment,) = index.manifest.segments
    search = by_faiss(faiss.read_index(str(index.folder / segment / FILE)), queries)
    assert all(search(number) == index.search({"q": str(number)}, K)["q"] for number in range(len(queries)))
    return search


def by_faiss(index: Any, queries: Any) -> Callable[[int], dict[str, float]]:
    """FAISS by hand: one call, and identifiers looked up in a list."""
    if hasattr(index, "hnsw"):
        index.hnsw.efSearch = EFFORT
    if hasattr(index, "nprobe"):
        index.nprobe = PROBES
    names = [str(number) for number in range(index.ntotal)]

    def search(number: int) -> dict[str, float]:
        scores, rows = index.search(queries[number : number + 1], K)
        return dict(zip([names[row] for row in rows[0].tolist()], scores[0].tolist(), strict=True))

    return search


def their_vectors(job: dict[str, Any], held: Any, queries: Any) -> dict[str, Any]:
    """FAISS itself, with the same settings, written to disk."""
    import faiss

    count, width = held.shape
    names = {"flat": "Flat", "hnsw": f"HNSW{LINKS}", "ivf-pq": _lists(count, width)}
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "index"))
        with measured() as figures:
            index = faiss.index_factory(width, names[job["kind"]], faiss.METRIC_INNER_PRODUCT)
            if job["kind"] == "hnsw":
                index.hnsw.efConstruction = BUILD_EFFORT
            if job["kind"] == "ivf-pq":
                index.cp.max_points_per_centroid = 64
            index.train(held)
            index.add(held)
            faiss.write_index(index, path)
        size = Path(path).stat().st_size
    search = by_faiss(index, queries)
    ids = [[int(document) for document in search(number)] for number in range(len(queries))]
    return figures | {"mb": size / 1e6, "recall": recall(ids, held, queries), "segments": 1}


def _lists(count: int, width: int) -> str:
    return f"IVF{min(round(4 * count**0.5), count // 39)},PQ{width // 4}x8np"


def recall(ids: Sequence[Sequence[int]], held: Any, queries: Any) -> float:
    """Share of the exact ``K`` nearest that were found."""
    import faiss

    exact = faiss.IndexFlatIP(held.shape[1])
    exact.add(held)
    best = exact.search(queries, min(K, len(held)))[1]
    return float(
        np.mean([len({*found} & {*row}) / len(row) for found, row in zip(ids, best.tolist(), strict=True)])
    )


def main() -> None:
    """Do what the job says, and write what it took."""
    job = json.loads(Path(sys.argv[1]).read_text())
    what = {"lexical": lexical, "vectors": vectors}[job["what"]]
    Path(sys.argv[2]).write_text(json.dumps(what(job)))


if __name__ == "__main__":
    main()
