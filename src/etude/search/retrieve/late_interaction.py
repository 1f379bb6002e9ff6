"""What ColBERT and XTR share as retrievers: their encoder, trained or as it is, and their engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import annotated_types as at

from etude.errors import InputError
from etude.search.collection import Corpus, Document, Judged
from etude.search.retrieve.index import Index, build, held
from etude.seeds import seeded

if TYPE_CHECKING:
    from torch import Tensor

    from etude.search.late.encoder import TokenEncoder
    from etude.search.late.engine import LateEngine
    from etude.search.late.segment import Segment
    from etude.search.late.training import Score

Count = Annotated[int, at.Ge(1)]
CountOrNone = Annotated[int, at.Ge(0)]

SAMPLE = 500
"""Documents whose states give a projection its first directions."""


@dataclass(frozen=True, kw_only=True)
class LateInteraction(ABC):
    """Retrieve by the vectors of tokens; a method says how documents are found, and what it is trained by.

    Parameters
    ----------
    encoder : a model by name, or a folder: of transformers, or a ``MultiVectorEncoder``.
    width : of token vectors, by a projection onto the main directions of the corpus; 0 for the encoder's own.
    bits : of a number of a stored vector, which is coded as the rest beside its centroid; 32 for all of it.
    lists : centroids of a segment; 0 for four times the root of its number of tokens.
    probes : lists that a query token visits; 0 for all, which is an exact search but for the bits.
    steps : of training.
    trained : the "projection" alone, on states that are made once, or "all" of the encoder.
    batch : pairs in a step.
    negatives : hard ones of each pair, from BM25.
    rate : of learning, at the beginning.
    temperature : of scores in training.

    Raises
    ------
    InputError : if a field is out of range, or a projection is to be trained and there is none.
    """

    encoder: str = "minilm"
    width: CountOrNone = 0
    bits: Literal[1, 2, 4, 8, 32] = 4
    lists: CountOrNone = 0
    probes: CountOrNone = 16
    steps: CountOrNone = 0
    trained: Literal["projection", "all"] = "projection"
    batch: Count = 32
    negatives: CountOrNone = 1
    rate: Annotated[float, at.Interval(gt=0)] = 1e-3
    temperature: Annotated[float, at.Interval(gt=0)] = 0.05

    def __post_init__(self) -> None:
        if self.steps and self.trained == "projection" and not self.width:
            raise InputError("width", 'is 0, so there is no projection to train: give one, or trained="all"')

    @property
    @abstractmethod
    def score(self) -> Score:
        """Scores of the documents of a batch, whose cross-entropy is the loss of training."""

    @abstractmethod
    def find(
        self, segments: Sequence[Segment], query: Tensor, k: int, allowed: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Positions and scores of the best ``k`` documents for token vectors ``[query tokens, width]``."""

    def index(self, corpus: Corpus, judged: Judged | None = None, seed: int = 0) -> Index:
        """Train the encoder if it is to be trained, and index the corpus."""
        return build(self, self._engine(self._learnt(corpus, judged, seed)), corpus)

    def engine(self, folder: Path | None = None) -> LateEngine:
        """The engine with the encoder that was kept with an index, or else the one that is found by name."""
        from etude.search.late.encoder import TokenEncoder

        kept = None if folder is None else folder / "encoder"
        if kept is not None and kept.is_dir():
            return self._engine(TokenEncoder.load(kept))
        if self.steps or self.width:
            raise InputError("index", "its encoder, which was made for it, is missing")
        return self._engine(TokenEncoder.load(self.encoder))

    def _engine(self, encoder: TokenEncoder) -> LateEngine:
        from etude.search.late.engine import LateEngine

        return LateEngine(encoder, self.find, self.bits, self.lists, learnt=bool(self.steps or self.width))

    def _learnt(self, corpus: Corpus, judged: Judged | None, seed: int) -> TokenEncoder:
        """The encoder, trained on judged queries or, without any, on pairs from the corpus."""
        from etude.search.late.encoder import TokenEncoder
        from etude.search.late.pairs import pairs_of
        from etude.search.late.training import train

        encoder = TokenEncoder.load(self.encoder)
        documents = held(corpus) if self.width or self.steps else []
        if self.width:
            encoder = projected(encoder, documents, self.width)
        if self.steps:
            pairs = pairs_of(documents, judged, seed, self.negatives)
            with seeded(seed):
                train(
                    encoder,
                    pairs,
                    self.score,
                    steps=self.steps,
                    batch=self.batch,
                    rate=self.rate,
                    temperature=self.temperature,
                    whole=self.trained == "all",
                )
        return encoder


def projected(encoder: TokenEncoder, documents: list[Document], width: int) -> TokenEncoder:
    """The encoder with a projection onto the directions that matter most in some of the documents."""
    from etude.search.late.training import principal

    size = encoder.model.config.hidden_size
    if not 1 <= width <= size:
        raise InputError("width", f"{width} is not in [1, {size}], the width of the encoder's states")
    some = documents[:: max(1, len(documents) // SAMPLE)]
    states = encoder.states([document.content for document in some], "document")
    encoder.projection = principal(states.vectors, width)
    return encoder
