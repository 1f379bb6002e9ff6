"""Segments of an index: written here, or piece by piece in other processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from etude.errors import InputError
from etude.files import new_folder
from etude.progress import track
from etude.search.collection import Corpus, Document
from etude.search.retrieve.store import kept

if TYPE_CHECKING:
    from etude.search.retrieve.index import Engine

    Spread = Callable[[Callable[[Any], Path], Iterable[Any]], Iterator[Path]]
    """As ``map``: applies a function to items, results in their order."""


@contextmanager
def spread_by(apply: Spread, documents: int = 10_000) -> Iterator[None]:
    """Segments that are built inside the block are built by ``apply``, in other processes perhaps.

    Parameters
    ----------
    apply : does what ``map`` does, in the order of the items (`etude.engine.scale.OnRay`); may do an item
        again that it has lost.
    documents : of a segment, at most: what is done again where one is lost.

    Examples
    --------
    >>> from etude.search.retrieve import BM25
    >>> with spread_by(map, documents=1):
    ...     index = BM25().index([Document("a", "a bird sings"), Document("b", "a bird flies")])
    >>> len(index.manifest.segments)
    2
    """
    if documents < 1:
        raise InputError("documents", f"{documents} is not 1 or more")
    token = _spread.set((apply, documents))
    try:
        yield
    finally:
        _spread.reset(token)


_spread: ContextVar[tuple[Spread, int] | None] = ContextVar("spread", default=None)


@dataclass
class SegmentWriter:
    """Writes segments into an index's folder; they count once a manifest names them.

    It can be sent to another process, and does not take its engine along: it makes that again there, from the
    same files.

    Parameters
    ----------
    method : the retriever.
    learnt : name of the folder with what it has learnt, "" if it has learnt nothing.
    folder : of the index.
    engine : of the method, if it is at hand.
    """

    method: Any
    learnt: str
    folder: Path
    engine: Engine | None = None

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"engine": None}

    def __call__(self, part: tuple[str, Iterable[Document]]) -> Path:
        """Write one segment of a name and some documents; one that is there is whole, and stays."""
        name, documents = part
        engine = self._made()
        if not (self.folder / name).exists():
            with new_folder(self.folder / name) as temporary:
                engine.write(kept(documents, temporary), temporary)
        return self.folder / name

    def _made(self) -> Engine:
        if self.engine is None:
            self.engine = self.method.engine(self.folder / self.learnt if self.learnt else None)
        return self.engine

    def write(self, corpus: Corpus) -> Iterator[Path]:
        """Segments of all documents, each written whole or not at all."""
        engine = self._made()
        source = iter(track(check_iterable(corpus), "indexing"))
        spread = _spread.get()
        if spread is None:
            parts = (chain([first], islice(source, engine.segment - 1)) for first in source)
            yield from map(self, zip(_names(), parts, strict=False))
        else:
            apply, size = spread
            lists = iter(lambda: list(islice(source, min(size, engine.segment))), [])
            yield from apply(self, zip(_names(), lists, strict=False))


def _names() -> Iterator[str]:
    while True:
        yield f"segment-{uuid4().hex[:8]}"


def check_iterable(corpus: Corpus) -> Corpus:
    """The corpus, if it can be gone through."""
    if isinstance(corpus, (str, bytes, Mapping)) or not isinstance(corpus, Iterable):
        raise InputError("corpus", f"{corpus!r:.60} is no corpus; give an iterable of Document")
    return corpus
