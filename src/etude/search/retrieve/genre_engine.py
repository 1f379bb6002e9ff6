"""GENRE's engine: segments are trees of names, and a search generates the names that a tree allows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from etude.search.collection import Document, Judged
from etude.search.constrained.beam import Hypothesis
from etude.search.constrained.learning import Pairs
from etude.search.constrained.namer import Namer
from etude.search.constrained.rules import Names
from etude.search.constrained.trie import Trie, merged

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from etude.search.retrieve.found import Found

TITLE_WORDS, WINDOW_WORDS, QUERY_WORDS = 12, 24, 384
"""Of what stands for a title where there is none, of a text to learn from, and of a query."""


def name_of(document: Document) -> str:
    """A document's title, or the first words of its text, or its identifier.

    Examples
    --------
    >>> name_of(Document("7", "of the wing"))
    'of the wing'
    """
    return document.title.strip() or " ".join(document.text.split()[:TITLE_WORDS]) or document.id


def pairs(documents: Sequence[Document], judged: Judged | None) -> Pairs:
    """Every query with the name of each relevant document, and windows of every text with its name."""
    names = {document.id: name_of(document) for document in documents}
    found = [
        (text, names[document])
        for query, text in (judged.queries if judged else {}).items()
        for document, grade in (judged.qrels if judged else {}).get(query, {}).items()
        if grade > 0 and document in names
    ]
    return found + [
        (" ".join(words[at : at + WINDOW_WORDS]), names[document.id])
        for document in documents
        if (words := document.text.split() or [names[document.id]])
        for at in range(0, len(words), WINDOW_WORDS)
    ]


@dataclass(frozen=True)
class GenreEngine:
    """See `etude.search.retrieve.index.Engine`.

    Parameters
    ----------
    namer : the model.
    beams : names that are generated for a query.
    learnt : whether the model has to be kept with the index, or is found by name.
    compact : whether trees take two bits for the degree of a node, or are faster.
    segment : documents of a segment at most.
    """

    namer: Namer
    beams: int
    learnt: bool
    compact: bool = False
    segment: int = 1_000_000

    @property
    def fingerprint(self) -> str:
        """Of the model, which spells the names."""
        return self.namer.fingerprint

    def write(self, documents: Iterable[Document], folder: Path) -> None:
        """A tree of the names; documents of the same name stand at the same leaf."""
        names = [name_of(document) for document in documents]
        Trie.of(self.namer.spell(names)).save(folder)

    def open(self, segments: Sequence[Path]) -> GenreSearcher:
        """One tree; those of several segments are put together in memory."""
        return GenreSearcher(self, merged([Trie.open(folder, compact=self.compact) for folder in segments]))

    def save(self, folder: Path) -> None:
        """Write the model, if it was trained."""
        if self.learnt:
            self.namer.save(folder / "model")


class GenreSearcher:
    """A tree of names, and the model that generates them."""

    def __init__(self, engine: GenreEngine, trie: Trie) -> None:
        self.engine, self.trie = engine, trie

    def search(self, queries: Sequence[str], k: int, allowed: NDArray[np.bool_] | None = None) -> Found:
        """Documents whose names were generated; those of one name score alike, first of all the first."""
        trie = self.trie if allowed is None else self.trie.only(np.flatnonzero(allowed))
        namer = self.engine.namer
        texts = [" ".join(query.split()[:QUERY_WORDS]) for query in queries]
        named = namer.generate(texts, Names(trie, namer.end), self.engine.beams)
        positions = np.full((len(queries), k), -1, np.int64)
        scores = np.zeros((len(queries), k), np.float32)
        for row, hypotheses in enumerate(named):
            found = list(self._documents(trie, hypotheses))[:k]
            for column, (position, score) in enumerate(found):
                positions[row, column], scores[row, column] = position, score
        return positions, scores

    @staticmethod
    def _documents(trie: Trie, hypotheses: Sequence[Hypothesis]) -> Iterator[tuple[int, float]]:
        for hypothesis in hypotheses:
            for entry in trie.entries_at(hypothesis.state[0]):
                yield entry, hypothesis.score
