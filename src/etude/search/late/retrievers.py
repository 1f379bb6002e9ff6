"""What ColBERT and XTR share as retrievers: their encoder, trained or as it is, and their engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, Protocol

from etude.errors import InputError
from etude.search.collection import Corpus, Document, Judged
from etude.search.late.codes import Bits
from etude.search.late.encoder import TokenEncoder
from etude.search.late.engine import LateEngine, Search
from etude.search.late.pairs import pairs_of
from etude.search.late.training import Score, principal, train
from etude.search.retrieve.store import checked
from etude.seeds import seeded

SAMPLE = 500
"""Documents whose states give a projection its first directions."""


class Settings(Protocol):
    """Fields that retrievers by late interaction have in common."""

    @property
    def encoder(self) -> str: ...
    @property
    def width(self) -> int: ...
    @property
    def bits(self) -> Bits: ...
    @property
    def lists(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def trained(self) -> Literal["projection", "all"]: ...
    @property
    def batch(self) -> int: ...
    @property
    def negatives(self) -> int: ...
    @property
    def rate(self) -> float: ...
    @property
    def temperature(self) -> float: ...


def check(settings: Settings) -> None:
    """Refuse to train a projection that is not there."""
    if settings.steps and settings.trained == "projection" and not settings.width:
        raise InputError("width", 'is 0, so there is no projection to train: give one, or trained="all"')


def learnt(
    settings: Settings, corpus: Corpus, judged: Judged | None, seed: int, score: Score
) -> TokenEncoder:
    """The encoder, trained on judged queries or, without any, on pairs from the corpus.

    Raises
    ------
    InputError : naming ``encoder``, ``width`` or ``corpus``, before any work.
    """
    encoder = TokenEncoder.load(settings.encoder)
    if not settings.width:
        documents = _documents(corpus) if settings.steps else []
    else:
        documents = _documents(corpus)
        encoder = projected(encoder, documents, settings.width)
    if settings.steps:
        pairs = pairs_of(documents, judged, seed, settings.negatives)
        with seeded(seed):
            train(
                encoder,
                pairs,
                score,
                steps=settings.steps,
                batch=settings.batch,
                rate=settings.rate,
                temperature=settings.temperature,
                whole=settings.trained == "all",
            )
    return encoder


def projected(encoder: TokenEncoder, documents: list[Document], width: int) -> TokenEncoder:
    """The encoder with a projection onto the directions that matter most in some of the documents."""
    if not 1 <= width <= encoder.model.config.hidden_size:
        size = encoder.model.config.hidden_size
        raise InputError("width", f"{width} is not in [1, {size}], the width of the encoder's states")
    some = documents[:: max(1, len(documents) // SAMPLE)]
    encoder.projection = principal(
        encoder.states([document.content for document in some], "document").vectors, width
    )
    return encoder


def engine(settings: Settings, find: Search, folder: Path | None) -> LateEngine:
    """The engine with the encoder that was kept with an index, or else the one that is found by name."""
    kept = None if folder is None else folder / "encoder"
    if kept is not None and kept.is_dir():
        return engine_of(settings, find, TokenEncoder.load(kept))
    if settings.steps or settings.width:
        raise InputError("index", "its encoder, which was made for it, is missing")
    return engine_of(settings, find, TokenEncoder.load(settings.encoder))


def engine_of(settings: Settings, find: Search, encoder: TokenEncoder) -> LateEngine:
    """The engine with this encoder."""
    kept = bool(settings.steps or settings.width)
    return LateEngine(encoder, find, settings.bits, settings.lists, learnt=kept)


def _documents(corpus: Corpus) -> list[Document]:
    if isinstance(corpus, (str, bytes, Mapping)) or not isinstance(corpus, Iterable):
        raise InputError("corpus", f"{corpus!r:.60} is no corpus; give an iterable of Document")
    documents = [checked(document) for document in corpus]
    if not documents:
        raise InputError("corpus", "holds no document")
    return documents
