"""GENRE: documents are retrieved by generating their titles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import annotated_types as at

from etude.errors import InputError
from etude.method import method
from etude.search.collection import Corpus, Judged
from etude.search.constrained.naming import Naming
from etude.search.retrieve.index import Index, build, held

if TYPE_CHECKING:
    from etude.search.constrained.namer import Namer
    from etude.search.retrieve.genre_engine import GenreEngine


@method("genre", task="retrieve", paper="genre")
class Genre(Naming):
    """Generate the title of the document that a query asks for, token by token, and no other text.

    A title y scores ``log p(y | x) = sum_i log p(y_i | y_<i, x)``, divided by a power of its number of
    tokens. Beam search looks for the titles that score best; at every step it may only go on as some title
    in a prefix tree goes on. There are no document vectors, and a document is added by adding its title.

    The model learns on judged queries, if there are any, with a pair for each relevant document, and on
    windows of 24 words of every text with its title: plain cross-entropy over the vocabulary, no negatives.
    Without a ``model`` a small T5 with a vocabulary of its own is trained from nothing.

    Parameters
    ----------
    steps : of training; 0 to use the model as it is.
    compact : whether the opened tree takes two bits for the degree of a node, and is slower.

    Raises
    ------
    InputError : if a field is out of range, or there is neither a model nor a step of training.

    Examples
    --------
    >>> from etude.search.collection import Document
    >>> documents = [Document("a", "It lifts the plane.", "Wing"), Document("b", "She lost them.", "Keys")]
    >>> index = Genre(steps=60, width=32, layers=1, beams=1).index(documents)
    >>> list(index.search({"q": "She lost them."})["q"])
    ['b']

    References
    ----------
    De Cao et al., "Autoregressive Entity Retrieval", ICLR 2021. arXiv:2010.00904.
    """

    steps: Annotated[int, at.Ge(0)] = 1000
    compact: bool = False

    def index(self, corpus: Corpus, judged: Judged | None = None, seed: int = 0) -> Index:
        """Train the model if it is to be trained, and index the titles."""
        from etude.search.retrieve.genre_engine import pairs

        if not self.steps:
            return build(self, self.engine(), corpus)
        return build(self, self._engine(self.namer(pairs(held(corpus), judged), seed)), corpus)

    def engine(self, folder: Path | None = None) -> GenreEngine:
        """The engine with the model that was kept with an index, or else the one that is found by name."""
        if self.steps and folder is None:
            raise InputError("index", "its model, which was trained for it, is missing")
        return self._engine(self.loaded(self.model if folder is None else folder / "model"))

    def _engine(self, namer: Namer) -> GenreEngine:
        from etude.search.retrieve.genre_engine import GenreEngine

        return GenreEngine(namer, self.beams, learnt=bool(self.steps), compact=self.compact)
