"""A prefix tree over token ids in two arrays, whose child sets of many nodes are read in one step.

Nodes are numbered level by level, and by token within a level. The edge that is the e-th in this order then
leads to node e + 1, so that nothing but the tokens of the edges and the place of every node's first edge need
be kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from etude.errors import InputError

Ints = NDArray[np.int64]


class Edges(NamedTuple):
    """Edges that leave nodes, all in one row.

    Parameters
    ----------
    rows : which of the given nodes an edge leaves, ascending, ``[edges]``.
    tokens : its token, ``[edges]``.
    nodes : the node that it leads to, ``[edges]``.
    """

    rows: Ints
    tokens: Ints
    nodes: Ints


class Degrees(Protocol):
    """Where the edges of every node begin."""

    def __len__(self) -> int:
        """How many nodes there are."""

    @property
    def nbytes(self) -> int:
        """Size in memory."""

    def bounds(self, nodes: Ints) -> tuple[Ints, Ints]:
        """The first edge of each node, and the one behind its last."""


@dataclass(frozen=True)
class Offsets:
    """Places of first edges, as they are: 4 bytes a node.

    Parameters
    ----------
    starts : int32 ``[nodes + 1]``.
    """

    starts: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def nbytes(self) -> int:
        """Size in memory."""
        return self.starts.nbytes

    def bounds(self, nodes: Ints) -> tuple[Ints, Ints]:
        """The first edge of each node, and the one behind its last."""
        return self.starts[nodes].astype(np.int64), self.starts[nodes + 1].astype(np.int64)


@dataclass(frozen=True)
class Trie:
    """A catalogue of token sequences.

    Parameters
    ----------
    tokens : of the edges, level by level; uint16 or int32.
    degrees : where the edges of every node begin: `Offsets`, or `etude.search.constrained.compact.Unary`.
    ends : the node at the end of each sequence, ascending; of a sequence that is there n times, n times.
    entries : the place of that sequence among those given.

    Examples
    --------
    >>> trie = Trie.of([[5, 7, 1], [5, 1], [5, 7, 1]])
    >>> trie.children([5]), trie.children([5, 7]), trie.children([6])
    ([1, 7], [1], [])
    >>> trie.entries_of([5, 7, 1])
    [0, 2]
    """

    tokens: NDArray[np.integer[Any]]
    degrees: Degrees
    ends: NDArray[np.int32]
    entries: NDArray[np.int32]

    @classmethod
    def of(cls, sequences: Sequence[Sequence[int]]) -> Trie:
        """Build it of sequences of token ids, which end with the token that ends a name.

        Raises
        ------
        InputError : naming ``names`` if there is none, or one is empty or holds what is no token id.
        """
        try:
            lengths = np.fromiter(map(len, sequences), np.int64, len(sequences))
            flat = np.fromiter(
                (token for sequence in sequences for token in sequence), np.int64, lengths.sum()
            )
        except TypeError as error:
            raise InputError("names", f"are not sequences of token ids: {error}") from error
        if not len(lengths) or not lengths.all():
            raise InputError("names", "are none, or one of them has no token")
        if flat.min() < 0 or flat.max() > np.iinfo(np.int32).max:
            raise InputError("names", "hold a token id that is negative or has more than 31 bits")
        table = np.full((len(lengths), lengths.max()), -1, np.int32)
        table[np.arange(lengths.max()) < lengths[:, None]] = flat
        return cls.of_table(table)

    @classmethod
    def of_table(cls, table: NDArray[np.int32]) -> Trie:
        """Build it of sequences in rows that are filled up with -1."""
        order = np.lexsort(table.T[::-1])
        ordered = table[order]
        new = np.ones(table.shape, bool)
        new[1:] = np.logical_or.accumulate(ordered[1:] != ordered[:-1], axis=1)
        new &= ordered >= 0
        ends = np.zeros(len(table), np.int64)
        parents, tokens, last = [], [], np.zeros(len(table), np.int64)
        known = 1  # the root
        for level, fresh in enumerate(new.T):
            reached = ordered[:, level] >= 0
            parents.append(last[fresh])
            tokens.append(ordered[fresh, level])
            last = np.where(reached, known - 1 + np.cumsum(fresh), last)
            known += int(fresh.sum())
        ends = last
        starts = np.zeros(known + 1, np.int32)
        starts[1:] = np.cumsum(np.bincount(np.concatenate(parents), minlength=known))
        joined = np.concatenate(tokens)
        small = joined.max() <= np.iinfo(np.uint16).max
        by_end = np.argsort(ends, kind="stable")
        return cls(
            joined.astype(np.uint16 if small else np.int32),
            Offsets(starts),
            ends[by_end].astype(np.int32),
            order[by_end].astype(np.int32),
        )

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def nbytes(self) -> int:
        """Size of the tree in memory; the places of the sequences (`ends`, `entries`) not counted."""
        return self.tokens.nbytes + self.degrees.nbytes

    @cached_property
    def depth(self) -> int:
        """Tokens of the longest sequence."""
        node, depth = self.tokens.size, 0
        while node:
            node, depth = int(self.parents[node]), depth + 1
        return depth

    @cached_property
    def parents(self) -> NDArray[np.int32]:
        """The node above each node; the root is above itself."""
        starts, stops = self.degrees.bounds(np.arange(len(self.degrees)))
        above = np.repeat(np.arange(len(self.degrees), dtype=np.int32), stops - starts)
        return np.concatenate([np.zeros(1, np.int32), above])

    @cached_property
    def end_of(self) -> NDArray[np.int32]:
        """The node at the end of each sequence, in the order in which they were given."""
        found = np.empty_like(self.ends)
        found[self.entries] = self.ends
        return found

    def alone(self, places: Ints) -> Ints:
        """Nodes from which nothing is reached but one of the sequences at ``places``.

        Examples
        --------
        >>> trie = Trie.of([[5, 7, 1], [5, 8, 1]])
        >>> trie.find([5, 7]) in trie.alone(np.array([0])), trie.find([5]) in trie.alone(np.array([0]))
        (True, False)
        """
        nodes, found = self.end_of[places].astype(np.int64), [np.empty(0, np.int64)]
        while len(nodes):
            found.append(nodes)
            above = self.parents[nodes].astype(np.int64)
            starts, stops = self.degrees.bounds(above)
            nodes = above[(stops - starts == 1) & (above > 0)]
        return np.concatenate(found)

    def edges(self, nodes: Ints) -> Edges:
        """All edges that leave ``nodes``."""
        starts, stops = self.degrees.bounds(nodes)
        counts = stops - starts
        rows = np.repeat(np.arange(len(nodes)), counts)
        found = np.arange(len(rows)) + np.repeat(starts - np.cumsum(counts) + counts, counts)
        return Edges(rows, self.tokens[found].astype(np.int64), found + 1)

    def find(self, prefix: Sequence[int], node: int = 0) -> int:
        """The node that ``prefix`` leads to from ``node``, -1 if there is none."""
        for token in prefix:
            _, tokens, nodes = self.edges(np.array([node]))
            place = int(np.searchsorted(tokens, token))
            if place == len(tokens) or tokens[place] != token:
                return -1
            node = int(nodes[place])
        return node

    def children(self, prefix: Sequence[int]) -> list[int]:
        """The tokens that may follow ``prefix``, ascending."""
        node = self.find(prefix)
        found: list[int] = self.edges(np.array([node])).tokens.tolist() if node >= 0 else []
        return found

    def entries_at(self, node: int) -> list[int]:
        """Places of the sequences that end at ``node``, ascending."""
        first, last = np.searchsorted(self.ends, [node, node + 1])
        found: list[int] = np.sort(self.entries[first:last]).tolist()
        return found

    def entries_of(self, sequence: Sequence[int]) -> list[int]:
        """Places of a sequence among those the tree was built of."""
        return self.entries_at(self.find(sequence))

    def table(self) -> NDArray[np.int32]:
        """The sequences in the order in which they were given, filled up with -1, ``[sequences, depth]``."""
        found = np.full((len(self), self.depth), -1, np.int32)
        nodes, places = self.ends.astype(np.int64), np.arange(len(self))
        lengths = np.zeros(len(self), np.int64)
        backwards = []
        while len(places):
            backwards.append((places, self.tokens[nodes - 1]))
            lengths[places] += 1
            nodes = self.parents[nodes].astype(np.int64)
            places, nodes = places[nodes > 0], nodes[nodes > 0]
        for step, (rows, tokens) in enumerate(backwards):
            found[rows, lengths[rows] - 1 - step] = tokens
        given = np.empty_like(found)
        given[self.entries] = found
        return given

    def only(self, places: Ints) -> Trie:
        """A tree of the sequences at these places alone, which keep their places."""
        part = Trie.of_table(self.table()[places])
        return replace(part, entries=places[part.entries].astype(np.int32))

    def save(self, folder: Path) -> None:
        """Write it into a folder that exists; where edges begin is written in two bits a node."""
        from etude.search.constrained.compact import Unary

        starts, stops = self.degrees.bounds(np.arange(len(self.degrees)))
        parts = {"tokens": self.tokens, "degrees": Unary.of(stops - starts).words}
        for name, array in (parts | {"ends": self.ends, "entries": self.entries}).items():
            np.save(folder / f"{name}.npy", array, allow_pickle=False)

    @classmethod
    def open(cls, folder: Path, *, compact: bool = False) -> Trie:
        """Read what `save` wrote, memory-mapped.

        Parameters
        ----------
        folder : that was written.
        compact : whether to leave where edges begin in two bits a node, which takes longer to read.
        """
        from etude.search.constrained.compact import Unary

        tokens, words, ends, entries = (
            np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            for name in ("tokens", "degrees", "ends", "entries")
        )
        unary = Unary.read(words, nodes=len(tokens) + 1)
        return cls(tokens, unary if compact else unary.offsets(), ends, entries)


def merged(tries: Sequence[Trie]) -> Trie:
    """One tree of the sequences of several, whose places run on.

    Examples
    --------
    >>> merged([Trie.of([[5, 1]]), Trie.of([[5, 7, 1]])]).children([5])
    [1, 7]
    """
    if len(tries) == 1:
        return tries[0]
    tables = [trie.table() for trie in tries]
    width = max(table.shape[1] for table in tables)
    wide = [np.pad(table, ((0, 0), (0, width - table.shape[1])), constant_values=-1) for table in tables]
    return Trie.of_table(np.concatenate(wide))
