"""Token vectors of some documents on disk: lists around centroids, residuals in a few bits, memory-mapped.

Tokens lie list after list, so that what a search visits is read in whole runs:

    centroids.npy   float32 [lists, width]
    lists.npy       int64 [lists + 1]: where each list begins, and where the last ends
    steps.npy       float32 [width]: of the codes (`etude.search.late.codes`); not with 32 bits
    codes.npy       uint8 [tokens, bytes], or with 32 bits float32 [tokens, width]
    owners.npy      int32 [tokens]: the document of each token
    places.npy      int32 [tokens]: where the tokens lie, in the order of the documents
    starts.npy      int64 [documents + 1]: which of ``places`` are a document's
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from etude.errors import InputError
from etude.progress import track
from etude.search.late.codes import Codec
from etude.search.late.tokens import ranges

CHUNK = 16384
"""Vectors that are assigned and coded at once."""

SAMPLE, ROUNDS = 40, 4
"""k-means sees this many vectors for each list at most, in this many rounds."""


class Segment:
    """Opened for search.

    Parameters
    ----------
    folder : that `write_segment` filled.
    bits : that it was given.

    Raises
    ------
    InputError : naming ``index`` if a file is missing or damaged.
    """

    def __init__(self, folder: Path, bits: int) -> None:
        read = _Reader(folder)
        self.centroids, self.lists = read("centroids"), read("lists")
        self.codes, self.owners = read("codes"), read("owners")
        self.places, self.starts = read("places"), read("starts")
        self.codec = None if bits == 32 else Codec(read("steps"), bits)

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def tokens(self) -> int:
        """Of all documents."""
        return len(self.owners)

    def near(self, vectors: Tensor, probes: int | None) -> tuple[Tensor, Tensor]:
        """Tokens in the lists around the centroids that are nearest to any of the vectors.

        Parameters
        ----------
        vectors : ``[vectors, width]``.
        probes : lists for each of them; None for all.

        Returns
        -------
        (similarities ``[tokens, vectors]``, owners ``[tokens]``) : of every vector with every such token.
        """
        to_lists = self.centroids @ vectors.T
        if probes is None or probes >= len(self.centroids):
            visited = torch.arange(len(self.centroids))
        else:
            visited = torch.unique(to_lists.topk(probes, 0).indices)
        lengths = self.lists[visited + 1] - self.lists[visited]
        tokens = ranges(self.lists[visited], lengths)
        if self.codec is None:
            similarities = self.codes.index_select(0, tokens) @ vectors.T
        else:
            similarities = self.codec.products(self.codes.index_select(0, tokens), vectors)
            similarities += torch.repeat_interleave(to_lists[visited], lengths, 0)
        return similarities, self.owners.index_select(0, tokens)

    def similarities(self, vectors: Tensor, documents: Tensor) -> tuple[Tensor, Tensor]:
        """Of the vectors with all tokens of some documents.

        Returns
        -------
        (similarities ``[tokens, vectors]``, lengths ``[documents]``) : the tokens in the order of the text.
        """
        lengths = self.starts[documents + 1] - self.starts[documents]
        tokens = self.places.index_select(0, ranges(self.starts[documents], lengths)).long()
        codes = self.codes.index_select(0, tokens)
        if self.codec is None:
            return codes @ vectors.T, lengths
        lists = torch.searchsorted(self.lists, tokens, right=True) - 1
        to_lists = (self.centroids @ vectors.T).index_select(0, lists)
        return self.codec.products(codes, vectors).add_(to_lists), lengths


def write_segment(folder: Path, vectors: NDArray[np.float32], lengths: Tensor, bits: int, lists: int) -> None:
    """Write the token vectors of documents as a segment.

    Parameters
    ----------
    folder : that exists.
    vectors : ``[tokens, width]`` of unit length, document after document; may be memory-mapped.
    lengths : tokens of each document.
    bits : of a number: 1, 2, 4 or 8; 32 for the vectors as they are.
    lists : at most; there are no more than vectors. 0 for four times the root of their number.
    """
    centroids = _centroids(vectors, lists)
    assigned = torch.cat(
        [_nearest(part, centroids) for part in track(_parts(vectors), "assigning", _count(vectors))]
    )
    order = torch.argsort(assigned, stable=True)
    places = torch.empty_like(order)
    places[order] = torch.arange(len(order))
    save = {
        "centroids": centroids,
        "lists": _starts(torch.bincount(assigned, minlength=len(centroids))),
        "owners": torch.repeat_interleave(torch.arange(len(lengths)), lengths)[order].int(),
        "places": places.int(),
        "starts": _starts(lengths),
    }
    codec = None
    if bits != 32:
        some = torch.linspace(0, len(vectors) - 1, min(len(vectors), CHUNK)).long()
        codec = Codec.fit(torch.from_numpy(vectors[some.numpy()]) - centroids[assigned[some]], bits)
        save["steps"] = codec.steps
    for name, tensor in save.items():
        np.save(folder / f"{name}.npy", tensor.numpy())
    _write_codes(folder / "codes.npy", vectors, codec, centroids, assigned, places)


def _write_codes(
    path: Path,
    vectors: NDArray[np.float32],
    codec: Codec | None,
    centroids: Tensor,
    assigned: Tensor,
    places: Tensor,
) -> None:
    """Code part by part, each token straight to its place."""
    shape, kind = (vectors.shape, np.float32) if codec is None else ((len(vectors), codec.bytes), np.uint8)
    codes = np.lib.format.open_memmap(path, "w+", kind, shape)
    first = 0
    for part in track(_parts(vectors), "coding", _count(vectors)):
        own = slice(first, first + len(part))
        coded = part if codec is None else codec.encode(part - centroids[assigned[own]])
        codes[places[own].numpy()] = coded.numpy()
        first += len(part)
    codes.flush()


def _centroids(vectors: NDArray[np.float32], lists: int) -> Tensor:
    """k-means over a sample, always the same one."""
    import faiss

    count = min(lists or 2 ** round(np.log2(4 * len(vectors) ** 0.5)), len(vectors))
    if count == 1:
        return torch.from_numpy(np.mean(vectors, axis=0, keepdims=True, dtype=np.float32))
    generator = np.random.default_rng(0)
    sample = min(len(vectors), SAMPLE * count)
    chosen = np.sort(generator.choice(len(vectors), sample, replace=False))
    bounds = {"min_points_per_centroid": 1, "max_points_per_centroid": SAMPLE}
    kmeans = faiss.Kmeans(vectors.shape[1], count, niter=ROUNDS, seed=1, **bounds)
    kmeans.train(np.ascontiguousarray(vectors[chosen]))
    return torch.from_numpy(kmeans.centroids)


def _nearest(vectors: Tensor, centroids: Tensor) -> Tensor:
    """The centroid at the least distance, int64 ``[vectors]``."""
    return torch.addmm(-0.5 * centroids.square().sum(1), vectors, centroids.T).argmax(1)


def _parts(vectors: NDArray[np.float32]) -> Iterator[Tensor]:
    for first in range(0, len(vectors), CHUNK):
        yield torch.from_numpy(np.array(vectors[first : first + CHUNK]))


def _count(vectors: NDArray[np.float32]) -> int:
    return -(-len(vectors) // CHUNK)


def _starts(lengths: Tensor) -> Tensor:
    return torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])


class _Reader:
    """Memory-mapped tensors of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, name: str) -> Tensor:
        path = self.folder / f"{name}.npy"
        try:
            # Copy on write: torch warns of arrays that cannot be written, though nobody writes to these.
            return torch.from_numpy(np.load(path, mmap_mode="c", allow_pickle=False))
        except (OSError, ValueError) as error:
            raise InputError("index", f"{path} cannot be read: {error}") from error
