"""One vector a document, searched by FAISS: the engine of every retriever that encodes a text as a vector."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from etude.errors import InputError
from etude.search.collection import Document
from etude.search.retrieve.found import merged

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from etude.search.retrieve.found import Found

    Vectors = NDArray[np.float32]
    """``[texts, width]``; the inner product of two says how alike they are."""

Kind = Literal["flat", "hnsw", "ivf-pq"]
FILE = "vectors.faiss"
_BATCH = 1024
_LEAST = 9984
"""Vectors of a segment below which its IVF-PQ would learn from too few (39 for each of 256 codes, as FAISS
asks): such a segment is searched exactly."""


_SAMPLE = 64
"""Vectors for each list that lists are learnt from, where there are more."""


class Encoder(Protocol):
    """Texts to vectors."""

    @property
    def fingerprint(self) -> str:
        """What identifies it."""

    def documents(self, texts: Sequence[str]) -> Vectors:
        """Vectors of documents' texts."""

    def queries(self, texts: Sequence[str]) -> Vectors:
        """Vectors of questions."""

    def save(self, folder: Path) -> None:
        """Write what was learnt into an empty folder; nothing, if nothing was."""


@dataclass(frozen=True)
class Layout:
    """How FAISS keeps and finds vectors.

    Parameters
    ----------
    kind : "flat" compares with all of them, exactly; "hnsw" walks a graph; "ivf-pq" looks into a few lists,
        at short codes of the vectors.
    links : of a vector in the graph.
    build_effort, effort : candidates that the graph's search keeps while it is built, and when it is asked.
    lists : how many; None for four times the square root of the number of vectors.
    probes : lists that are looked into.
    code : bytes that a vector takes in ivf-pq; divides the width.
    """

    kind: Kind = "flat"
    links: int = 32
    build_effort: int = 200
    effort: int = 100
    lists: int | None = None
    probes: int = 16
    code: int = 48

    def made(self, vectors: Vectors) -> Any:
        """A FAISS index of vectors.

        Raises
        ------
        InputError : naming ``code`` if it does not divide the vectors' width.
        """
        import faiss

        count, width = vectors.shape
        index: Any = faiss.IndexFlatIP(width)
        if self.kind == "hnsw":
            index = faiss.IndexHNSWFlat(width, self.links, faiss.METRIC_INNER_PRODUCT)
            index.hnsw.efConstruction = self.build_effort
        elif self.kind == "ivf-pq" and width % self.code:
            raise InputError("code", f"{self.code} bytes do not divide vectors of width {width}")
        elif self.kind == "ivf-pq" and count >= _LEAST:
            lists = min(self.lists or round(4 * math.sqrt(count)), count // 39)
            # Without "np", FAISS would order the codes by annealing, which takes minutes and is not used.
            name = f"IVF{lists},PQ{self.code}x8np"
            index = faiss.index_factory(width, name, faiss.METRIC_INNER_PRODUCT)
            index.cp.max_points_per_centroid = _SAMPLE
            index.train(vectors)
        index.add(vectors)
        return index

    def opened(self, path: Path) -> Any:
        """A FAISS index that was written, memory-mapped."""
        import faiss

        index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        if hasattr(index, "hnsw"):
            index.hnsw.efSearch = self.effort
        if hasattr(index, "nprobe"):
            index.nprobe = self.probes
        return index


class VectorEngine:
    """The engine of a retriever with one vector a text.

    Parameters
    ----------
    encoder : of documents and questions.
    layout : of the index of each segment.
    """

    segment = 200_000

    def __init__(self, encoder: Encoder, layout: Layout) -> None:
        self.encoder = encoder
        self.layout = layout

    @property
    def fingerprint(self) -> str:
        """The encoder's."""
        return self.encoder.fingerprint

    def write(self, documents: Iterable[Document], folder: Path) -> None:
        """Encode documents, and index their vectors."""
        import faiss

        source, parts = iter(documents), list["Vectors"]()
        while batch := [document.content for document in islice(source, _BATCH)]:
            parts.append(self.encoder.documents(batch))
        faiss.write_index(self.layout.made(np.concatenate(parts)), str(folder / FILE))

    def open(self, segments: Sequence[Path]) -> VectorSearcher:
        """Open each segment's index."""
        return VectorSearcher(self.encoder, [self.layout.opened(folder / FILE) for folder in segments])

    def save(self, folder: Path) -> None:
        """What the encoder learnt."""
        self.encoder.save(folder)


class VectorSearcher:
    """Finds the documents whose vectors have the largest inner product with a question's."""

    def __init__(self, encoder: Encoder, indexes: Sequence[Any]) -> None:
        self._encoder = encoder
        self._indexes = indexes

    def search(self, queries: Sequence[str], k: int) -> Found:
        """Encode the questions, and ask each segment."""
        return self.nearest(self._encoder.queries(queries), k)

    def nearest(self, vectors: Vectors, k: int) -> Found:
        """The ``k`` documents nearest to each vector."""
        found: list[Found] = [index.search(vectors, k)[::-1] for index in self._indexes]
        if len(found) == 1:
            return found[0]
        return merged(found, [index.ntotal for index in self._indexes], k)
