"""End-to-end linking: a text is written again, with mentions in braces and their names in brackets behind.

``In Paris they met`` becomes ``In { Paris } [ Paris (mythology) ] they met``. What may be written is the text
itself, token by token, and marks and names where they can stand: a rule for `beam_search`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from etude.errors import InputError
from etude.search.constrained.rules import Moves, States
from etude.search.constrained.trie import Ints, Trie

OUTSIDE, MENTION, ENTITY = range(3)
QUERY, PLACE, MODE, NODE, BEGIN = range(5)
"""Columns of a state: which text, how far it is written, in what, a node of the names, and where the mention
begins."""

NIL = "NIL"
"""The name of a mention that has no candidate."""


@dataclass(frozen=True)
class Marks:
    """Token ids of the marks.

    Parameters
    ----------
    open, close : of a mention, ``{`` and ``}``.
    begin, finish : of a name, ``[`` and ``]``.
    end : of the text.
    """

    open: int
    close: int
    begin: int
    finish: int
    end: int


class Markup:
    """What may follow in a text that is written again; see `etude.search.constrained.rules.Rule`.

    Outside, the next token of the text may follow, or a mark that opens a mention if one can begin there. In
    a mention, its next token if one can end further on, or the mark that closes it where one can end: not at
    once. Behind it comes a name of the catalogue, or one of the candidates of that mention. At the end of the
    text only the end may follow. From everywhere the end can be reached.

    Parameters
    ----------
    texts : token ids of each text, without marks or end.
    marks : token ids of the marks.
    names : token ids of the catalogue's names; not needed if there are ``candidates``.
    mentions : token ids of what may be mentioned; None for any part of a text.
    candidates : by the token ids of a mention, those of its names.
    nil : the name of mentions that ``candidates`` lacks.

    Raises
    ------
    InputError : naming ``names`` if there are neither names nor candidates, ``texts`` if one holds a mark.
    """

    def __init__(
        self,
        texts: Sequence[Sequence[int]],
        marks: Marks,
        names: Sequence[Sequence[int]] = (),
        *,
        mentions: Sequence[Sequence[int]] | None = None,
        candidates: Mapping[tuple[int, ...], Sequence[Sequence[int]]] | None = None,
        nil: Sequence[int] = (),
    ) -> None:
        if candidates is None and not names:
            raise InputError("names", "are none, and there are no candidates either")
        reserved = {marks.open, marks.close, marks.begin, marks.finish, marks.end}
        if any(reserved.intersection(text) for text in texts):
            raise InputError("texts", "one holds a token that marks a mention or a name")
        self.texts, self.marks = texts, marks
        self._stops = [_stops(text, mentions) for text in texts]
        self._keys = {} if candidates is None else {mention: n for n, mention in enumerate(candidates, 1)}
        groups = [names] if candidates is None else [[nil], *candidates.values()]
        sequences = [
            [group, marks.close, marks.begin, *name, marks.finish]
            for group, several in enumerate(groups)
            for name in several
        ]
        self._names = Trie.of(sequences)

    @property
    def end(self) -> int:
        """The token behind which nothing follows."""
        return self.marks.end

    def start(self, queries: int) -> States:
        """Nothing is written yet."""
        states = np.zeros((queries, 5), np.int64)
        states[:, QUERY] = np.arange(queries)
        return states

    def moves(self, states: States) -> Moves:
        """What may follow each state: within names all at once, as these may have thousands of children."""
        naming = states[:, MODE] == ENTITY
        found = [
            (row, token, following)
            for row in np.flatnonzero(~naming).tolist()
            for token, following in self._from(states[row].tolist())
        ]
        rows, tokens, following = zip(*found, strict=True) if found else ((), (), ())
        inside = self._in_names(np.flatnonzero(naming), states[naming])
        every = np.concatenate([np.array(rows, np.int64), inside.rows])
        order = np.argsort(every, kind="stable")
        return Moves(
            every[order],
            np.concatenate([np.array(tokens, np.int64), inside.tokens])[order],
            np.concatenate([np.array(following, np.int64).reshape(-1, 5), inside.states])[order],
        )

    def _in_names(self, places: Ints, states: States) -> Moves:
        """Go on with names; the mark that finishes one leads outside."""
        rows, tokens, nodes = self._names.edges(states[:, NODE])
        following = states[rows]
        following[:, NODE] = nodes
        finished = tokens == self.marks.finish
        following[finished, MODE] = OUTSIDE
        following[finished, NODE] = following[finished, BEGIN] = 0
        return Moves(places[rows], tokens, following)

    def _from(self, state: list[int]) -> list[tuple[int, list[int]]]:
        text, place = self.texts[state[QUERY]], state[PLACE]
        following = text[place] if place < len(text) else None
        if state[MODE] == MENTION:
            return self._in_mention(state)
        if following is None:
            return [(self.marks.end, state)]
        found = [(following, [state[QUERY], place + 1, OUTSIDE, 0, 0])]
        if self._stops[state[QUERY]][place]:
            found.append((self.marks.open, [state[QUERY], place, MENTION, 0, place]))
        return found

    def _in_mention(self, state: list[int]) -> list[tuple[int, list[int]]]:
        """Go on with the mention, or close it: the next token is then one of its names."""
        query, place, _, _, begin = state
        text, stops = self.texts[query], self._stops[query][begin]
        found = list[tuple[int, list[int]]]()
        if place < stops[-1]:
            found.append((text[place], [query, place + 1, MENTION, 0, begin]))
        if place in stops:
            key = self._keys.get(tuple(text[begin:place]), 0)
            names = self._names.find([key, self.marks.close])
            found.append((self.marks.close, [query, place, ENTITY, names, begin]))
        return found


def _stops(text: Sequence[int], mentions: Sequence[Sequence[int]] | None) -> list[Sequence[int]]:
    """Where mentions can end, ascending, that begin at each place of a text."""
    if mentions is None:
        return [range(begin + 1, len(text) + 1) for begin in range(len(text))]
    known = {tuple(mention) for mention in mentions}
    lengths = sorted(set(map(len, known)) - {0})
    return [
        [begin + n for n in lengths if tuple(text[begin : begin + n]) in known and begin + n <= len(text)]
        for begin in range(len(text))
    ]


@dataclass(frozen=True)
class Span:
    """A mention in a text, and what it means.

    Parameters
    ----------
    start, length : characters of the mention.
    name : what it means.
    """

    start: int
    length: int
    name: str


@dataclass(frozen=True)
class Parts:
    """What was written, taken apart: tokens of the text, and where mentions stand among them.

    Parameters
    ----------
    text : token ids without any marks or names.
    mentions : first token of each mention, the one behind its last, and token ids of the name.
    """

    text: list[int]
    mentions: list[tuple[int, int, list[int]]]


def read(tokens: Sequence[int], marks: Marks) -> Parts:
    """Take apart what was written; `Parts.text` is the text again.

    Examples
    --------
    >>> read([5, 91, 6, 92, 93, 70, 71, 94, 7, 1], Marks(91, 92, 93, 94, 1))
    Parts(text=[5, 6, 7], mentions=[(1, 2, [70, 71])])
    """
    text, mentions, name, begin, mode = list[int](), [], list[int](), 0, OUTSIDE
    for token in tokens:
        if token == marks.open and mode == OUTSIDE:
            begin, mode = len(text), MENTION
        elif token == marks.close and mode == MENTION:
            mode = ENTITY
        elif token == marks.finish and mode == ENTITY:
            mentions.append((begin, len(text), name))
            name, mode = [], OUTSIDE
        elif mode == ENTITY and token != marks.begin:
            name.append(token)
        elif mode != ENTITY and token != marks.end:
            text.append(token)
    return Parts(text, mentions)
