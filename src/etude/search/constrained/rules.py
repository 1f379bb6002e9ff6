"""What may follow what has been generated: a name of one catalogue, or of a few candidates for each query.

A rule gives every hypothesis a state, a row of integers, and proposes for all of them at once which tokens
may follow and to which states these lead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from etude.errors import InputError
from etude.search.constrained.trie import Ints, Trie

States = NDArray[np.int64]
"""One row for each hypothesis, ``[rows, width]``."""


class Moves(NamedTuple):
    """What may follow.

    Parameters
    ----------
    rows : the hypothesis that is gone on with, ascending, ``[moves]``.
    tokens : by which token, ``[moves]``.
    states : what state that leads to, ``[moves, width]``.
    """

    rows: Ints
    tokens: Ints
    states: States


class Rule(Protocol):
    """What may be generated."""

    @property
    def end(self) -> int:
        """The token behind which nothing follows."""

    def start(self, queries: int) -> States:
        """The state of each query before its first token."""

    def moves(self, states: States) -> Moves:
        """All moves from these states."""


@dataclass(frozen=True)
class Names:
    """Sequences of a tree, each of which ends with ``end``; a state is a node.

    Parameters
    ----------
    trie : the catalogue.
    end : the last token of every sequence.
    """

    trie: Trie
    end: int

    def start(self, queries: int) -> States:
        """The root."""
        return np.zeros((queries, 1), np.int64)

    def moves(self, states: States) -> Moves:
        """The children."""
        rows, tokens, nodes = self.trie.edges(states[:, 0])
        return Moves(rows, tokens, nodes[:, None])


class Candidates(Names):
    """A catalogue for each query: one tree, whose first edges are the queries.

    Parameters
    ----------
    sequences : those that may be generated for each query; none empty.
    end : the last token of every sequence.

    Raises
    ------
    InputError : naming ``candidates`` if there is a query without any.
    """

    def __init__(self, sequences: Sequence[Sequence[Sequence[int]]], end: int) -> None:
        if not all(sequences):
            raise InputError("candidates", "are none for one of the queries")
        rows = [[query, *one] for query, several in enumerate(sequences) for one in several]
        super().__init__(Trie.of(rows), end)

    def start(self, queries: int) -> States:
        """The child of the root that stands for the query."""
        return np.arange(1, queries + 1)[:, None]


class Without:
    """Names, but for some of each query; a state is a node and the query.

    Parameters
    ----------
    names : the catalogue.
    left_out : for each query, places of the names that it may not give.
    """

    def __init__(self, names: Names, left_out: Sequence[Sequence[int]]) -> None:
        self.names = names
        self._nodes = len(names.trie.degrees)
        closed = [
            query * self._nodes + names.trie.alone(np.array(some, np.int64))
            for query, some in enumerate(left_out)
        ]
        self._closed = np.concatenate([np.empty(0, np.int64), *closed])

    @property
    def end(self) -> int:
        """The last token of every sequence."""
        return self.names.end

    def start(self, queries: int) -> States:
        """The root, for each query."""
        return np.concatenate([self.names.start(queries), np.arange(queries)[:, None]], axis=1)

    def moves(self, states: States) -> Moves:
        """The children from which something else is reached than what is left out."""
        rows, tokens, nodes = self.names.moves(states[:, :1])
        queries = states[rows, 1:]
        kept = ~np.isin(queries[:, 0] * self._nodes + nodes[:, 0], self._closed)
        return Moves(rows[kept], tokens[kept], np.concatenate([nodes, queries], axis=1)[kept])
