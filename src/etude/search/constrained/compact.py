"""Degrees of a tree's nodes in two bits a node, read where they lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from etude.search.constrained.trie import Ints, Offsets

BLOCK = 8
"""Words of 64 bits between entries of the directory."""


@dataclass(frozen=True)
class Unary:
    """Degrees in unary, node by node: as many ones as the node has edges, and a zero.

    The edges of node n begin behind as many ones as stand before the n-th zero. A directory says how many
    zeros stand before every 512th bit; the block that holds the zero is then read (Jacobson, "Space-efficient
    Static Trees and Graphs", FOCS 1989).

    Parameters
    ----------
    words : the bits, lowest first, filled up with ones; uint64 ``[blocks * 8]``.
    zeros : how many zeros stand before each block, int32 ``[blocks + 1]``.

    Examples
    --------
    >>> degrees = Unary.of(np.array([2, 0, 1, 0]))
    >>> degrees.bounds(np.array([0, 2, 3]))
    (array([0, 2, 3]), array([2, 3, 3]))
    """

    words: NDArray[np.uint64]
    zeros: NDArray[np.int32]

    @classmethod
    def of(cls, degrees: Ints) -> Unary:
        """Write degrees."""
        count = int(degrees.sum()) + len(degrees)
        bits = np.ones(-(-count // (64 * BLOCK)) * 64 * BLOCK, np.uint8)
        bits[np.cumsum(degrees + 1) - 1] = 0
        return cls.read(np.packbits(bits, bitorder="little").view(np.uint64), len(degrees))

    @classmethod
    def read(cls, words: NDArray[np.uint64], nodes: int) -> Unary:
        """From bits alone; the directory is made anew."""
        ones = np.bitwise_count(np.asarray(words).reshape(-1, BLOCK)).sum(axis=1, dtype=np.int64)
        zeros = np.concatenate([np.zeros(1, np.int64), np.cumsum(64 * BLOCK - ones)])
        if zeros[-1] != nodes:
            raise ValueError(f"there are the degrees of {zeros[-1]} nodes, not of {nodes}")
        return cls(words, zeros.astype(np.int32))

    def __len__(self) -> int:
        return int(self.zeros[-1])

    @property
    def nbytes(self) -> int:
        """Size in memory."""
        return self.words.nbytes + self.zeros.nbytes

    def bounds(self, nodes: Ints) -> tuple[Ints, Ints]:
        """The first edge of each node, and the one behind its last."""
        return self._edges_before(nodes), self._edges_before(nodes + 1)

    def _edges_before(self, nodes: Ints) -> Ints:
        """Ones before the zero of node n - 1, which is the n-th: its place, without the zeros before it."""
        wanted = np.maximum(nodes, 1)  # before the first node there is nothing to look for
        blocks = np.searchsorted(self.zeros, wanted, side="left") - 1
        words = self.words.reshape(-1, BLOCK)[blocks]
        bits = np.unpackbits(words.view(np.uint8), axis=1, bitorder="little")
        rank = np.cumsum(bits == 0, axis=1)
        places = np.argmax(rank == (wanted - self.zeros[blocks])[:, None], axis=1)
        before = blocks * 64 * BLOCK + places - (wanted - 1)
        return np.where(nodes > 0, before, 0).astype(np.int64)

    def offsets(self) -> Offsets:
        """The same, in 4 bytes a node and faster to read."""
        bits = np.unpackbits(np.ascontiguousarray(self.words).view(np.uint8), bitorder="little")
        ends = np.flatnonzero(bits == 0)
        starts = np.concatenate([np.zeros(1, np.int64), ends - np.arange(len(ends))])
        return Offsets(starts.astype(np.int32))
