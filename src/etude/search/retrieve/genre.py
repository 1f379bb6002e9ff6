"""GENRE: documents are retrieved by generating their titles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import annotated_types as at

from etude.errors import InputError
from etude.method import method
from etude.search.collection import Corpus, Judged
from etude.search.retrieve.index import Index, build, held

if TYPE_CHECKING:
    from etude.search.constrained.learning import Pairs
    from etude.search.constrained.namer import Namer
    from etude.search.retrieve.genre_engine import GenreEngine

Count = Annotated[int, at.Ge(1)]


@method("genre", task="retrieve", paper="genre")
class Genre:
    """Generate the title of the document that a query asks for, token by token, and no other text.

    A title y scores ``log p(y | x) = sum_i log p(y_i | y_<i, x)``, divided by a power of its number of
    tokens. Beam search looks for the titles that score best; at every step it may only go on as some title
    in a prefix tree goes on. There are no document vectors, and a document is added by adding its title.

    The model learns on judged queries, if there are any, with a pair for each relevant document, and on
    windows of 24 words of every text with its title: plain cross-entropy over the vocabulary, no negatives.
    Without a ``model`` a small T5 with a vocabulary of its own is trained from nothing.

    Parameters
    ----------
    model : an encoder–decoder or causal language model by name or folder; "" for a small one, trained here.
    steps : of training; 0 to use the model as it is.
    beams : titles that are generated for a query; no more documents are found, unless they share titles.
    name_tokens : of a title, its end included; longer ones are cut.
    length_penalty : exponent of a title's number of tokens.
    compact : whether the opened tree takes two bits for the degree of a node, and is slower.
    vocabulary : tokens of the small model, at most.
    width : of the small model, a multiple of 32.
    layers : of its encoder, and of its decoder.
    batch : pairs in a step.
    rate : of learning, at its highest; 1e-3 suits a small model, 3e-5 a large one.
    smoothing : of the labels, in [0, 1).

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

    model: str = ""
    steps: Annotated[int, at.Ge(0)] = 1000
    beams: Count = 10
    name_tokens: Annotated[int, at.Ge(2)] = 15
    length_penalty: Annotated[float, at.Ge(0)] = 1.0
    compact: bool = False
    vocabulary: Annotated[int, at.Ge(300)] = 4096
    width: Annotated[int, at.Ge(32), at.MultipleOf(32)] = 128
    layers: Count = 2
    batch: Count = 32
    rate: Annotated[float, at.Interval(gt=0)] = 1e-3
    smoothing: Annotated[float, at.Interval(ge=0, lt=1)] = 0.1

    def __post_init__(self) -> None:
        if not self.model and not self.steps:
            raise InputError("steps", "are 0, and there is no model to use as it is: name one")

    def index(self, corpus: Corpus, judged: Judged | None = None, seed: int = 0) -> Index:
        """Train the model if it is to be trained, and index the titles."""
        from etude.search.constrained.learning import trained
        from etude.search.retrieve.genre_engine import pairs

        if not self.steps:
            return build(self, self.engine(), corpus)
        examples = pairs(held(corpus), judged)
        namer = self._load(self.model) if self.model else self._fresh(examples, seed)
        learnt = trained(
            namer,
            examples,
            steps=self.steps,
            batch=self.batch,
            rate=self.rate,
            smoothing=self.smoothing,
            seed=seed,
        )
        return build(self, self._engine(learnt), corpus)

    def engine(self, folder: Path | None = None) -> GenreEngine:
        """The engine with the model that was kept with an index, or else the one that is found by name."""
        if self.steps and folder is None:
            raise InputError("index", "its model, which was trained for it, is missing")
        return self._engine(self._load(self.model if folder is None else folder / "model"))

    def _engine(self, namer: Namer) -> GenreEngine:
        from etude.search.retrieve.genre_engine import GenreEngine

        return GenreEngine(namer, self.beams, learnt=bool(self.steps), compact=self.compact)

    def _load(self, model: str | Path) -> Namer:
        from etude.search.constrained.namer import Namer

        return Namer.load(model, name_tokens=self.name_tokens, length_penalty=self.length_penalty)

    def _fresh(self, examples: Pairs, seed: int) -> Namer:
        from etude.search.constrained.learning import fresh
        from etude.search.constrained.namer import Namer

        made = fresh(examples, tokens=self.vocabulary, width=self.width, layers=self.layers, seed=seed)
        return Namer(*made, name_tokens=self.name_tokens, length_penalty=self.length_penalty)
