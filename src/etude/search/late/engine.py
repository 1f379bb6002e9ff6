"""The engine of late-interaction retrievers: documents to segments of token vectors, and their search."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from etude.errors import InputError
from etude.search.collection import Document
from etude.search.late.encoder import Kind
from etude.search.late.segment import Segment, write_segment
from etude.search.late.tokens import Tokens

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from etude.search.retrieve.found import Found

BATCH = 256
"""Documents that are encoded before their vectors go to disk."""


class Encoder(Protocol):
    """What the engine asks of an encoder."""

    @property
    def width(self) -> int:
        """Numbers of a token vector."""

    @property
    def fingerprint(self) -> str:
        """Equal for encoders that give equal vectors."""

    def encode(self, texts: Sequence[str], kind: Kind) -> Tokens:
        """Token vectors of unit length."""

    def save(self, folder: Path) -> None:
        """Write it into a new folder."""


Search = Callable[[Sequence[Segment], Tensor, int, Tensor | None], tuple[Tensor, Tensor]]
"""Of segments, a query's token vectors, k and which documents are allowed: the best ones and their scores."""


@dataclass(frozen=True)
class LateEngine:
    """See `etude.search.retrieve.index.Engine`.

    Parameters
    ----------
    encoder : of queries and documents.
    find : how one query is searched.
    bits : of a number of a token vector.
    lists : of a segment; 0 for four times the root of its number of tokens.
    learnt : whether the encoder has to be kept with the index, or is found by name.
    segment : documents of a segment at most.
    """

    encoder: Encoder
    find: Search
    bits: int
    lists: int
    learnt: bool
    segment: int = 50_000

    @property
    def fingerprint(self) -> str:
        """Of the encoder."""
        return self.encoder.fingerprint

    def write(self, documents: Iterable[Document], folder: Path) -> None:
        """Encode documents batch by batch; their vectors lie on disk until they are coded."""
        lengths = [torch.empty(0, dtype=torch.int64)]
        with tempfile.TemporaryFile(dir=folder) as file:
            for tokens in self._encoded(documents):
                file.write(tokens.vectors.numpy().data)
                lengths.append(tokens.lengths)
            file.flush()
            shape = int(torch.cat(lengths).sum()), self.encoder.width
            if not shape[0]:
                raise InputError("corpus", "holds no text that the encoder has tokens for")
            vectors = np.memmap(file, np.float32, "r", shape=shape)
            write_segment(folder, vectors, torch.cat(lengths), self.bits, self.lists)

    def open(self, segments: Sequence[Path]) -> LateSearcher:
        """Open all segments; a query token's nearest tokens are those of all of them."""
        return LateSearcher(self, [Segment(folder, self.bits) for folder in segments])

    def save(self, folder: Path) -> None:
        """Write the encoder, if it was trained."""
        if self.learnt:
            self.encoder.save(folder / "encoder")

    def _encoded(self, documents: Iterable[Document]) -> Iterator[Tokens]:
        source = iter(documents)
        while batch := [document.content for document in islice(source, BATCH)]:
            yield self.encoder.encode(batch, "document")


class LateSearcher:
    """Opened segments, and the encoder of queries."""

    def __init__(self, engine: LateEngine, segments: Sequence[Segment]) -> None:
        self.engine, self.segments = engine, segments

    def search(self, queries: Sequence[str], k: int, allowed: NDArray[np.bool_] | None = None) -> Found:
        """The ``k`` best of the documents that are allowed, for each query."""
        tokens = self.engine.encoder.encode(queries, "query")
        mask = None if allowed is None else torch.from_numpy(allowed)
        positions = np.full((len(queries), k), -1, np.int64)
        scores = np.zeros((len(queries), k), np.float32)
        for row in range(len(queries)):
            query = tokens[row]
            if not len(query):
                continue
            found, values = self.engine.find(self.segments, query, k, mask)
            positions[row, : len(found)], scores[row, : len(found)] = found.numpy(), values.numpy()
        return positions, scores
