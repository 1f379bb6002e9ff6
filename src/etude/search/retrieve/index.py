"""An index: immutable segments, a small manifest that says which of them count, and what is deleted.

A retriever supplies an `Engine`, which turns documents into a segment and opens segments for search. All else
is here: documents are consumed as a stream, one segment for so many of them; a change writes new files first
and then puts a new manifest in the place of the old one, so that a killed process leaves the old index.

    index.json           version, method and parameters, the encoder's fingerprint, segments, deleted
    engine-*/            what the engine has learnt, if anything
    segment-*/           what the engine made of some documents, and the documents (Arrow)
    deleted-*.npy        positions of documents that no longer count
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

from etude.errors import InputError
from etude.files import new_file, new_folder
from etude.method import parameters, takes
from etude.search.collection import Corpus, Document, Queries
from etude.search.named import named
from etude.search.retrieve.found import only
from etude.search.retrieve.manifest import (
    LOCK,
    Manifest,
    clean,
    copy,
    files,
    read_manifest,
    write_manifest,
)
from etude.search.retrieve.segments import SegmentWriter, check_iterable
from etude.search.retrieve.store import IDS, TEXTS, Stored, checked

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from etude.search.retrieve.found import Found


_BATCH = 1024


class Searcher(Protocol):
    """Opened segments.

    Its search may also take ``allowed``, bool ``[documents]``: which may be found. Where it does not, more is
    asked of it than is wanted, and what may not be found is left out.
    """

    def search(self, queries: Sequence[str], k: int) -> Found:
        """The ``k`` best documents for each query; positions run on from one segment to the next."""


class Engine(Protocol):
    """How a retriever makes segments of documents, and searches them."""

    @property
    def fingerprint(self) -> str:
        """What identifies the encoder: segments of another one cannot be searched. "" if there is none."""

    @property
    def segment(self) -> int:
        """How many documents a segment holds at most."""

    def write(self, documents: Iterable[Document], folder: Path) -> None:
        """Make a segment of the documents in their order, in a folder that exists; all are to be consumed."""

    def open(self, segments: Sequence[Path]) -> Searcher:
        """Open segments for search, memory-mapped as far as can be."""

    def save(self, folder: Path) -> None:
        """Write what was learnt (nothing, if nothing was) into an empty folder, for ``method.engine``."""


class Retriever(Protocol):
    """A method of the task; beside the verb, it makes its engine again when an index is opened."""

    def engine(self, folder: Path | None = None) -> Engine:
        """The engine as `Engine.save` wrote it; None for one that has learnt nothing.

        Raises
        ------
        InputError : if the method cannot do without having learnt, or its encoder is not here.
        """


class Index:
    """Documents that can be searched; made by a retriever's ``index``, or by `open_index`.

    Parameters
    ----------
    folder : where it lies.
    method : the retriever that made it.
    engine : that retriever's engine, if it is at hand.

    Raises
    ------
    InputError : naming ``index`` if there is none, it is damaged or of another version; ``encoder`` if it was
        built by another one.

    Examples
    --------
    >>> from etude.search.retrieve import BM25
    >>> index = BM25().index([Document("a", "the wing of a bird"), Document("b", "a bird sings")])
    >>> list(index.search({"q": "wings"})["q"])
    ['a']
    >>> index.add([Document("c", "wings and tails")])
    >>> index.delete(["a"])
    >>> list(index.search({"q": "wings"})["q"])
    ['c']
    """

    def __init__(self, folder: Path, method: Any, engine: Engine | None = None) -> None:
        self.folder = folder
        self.method = method
        self.manifest = read_manifest(folder)
        learnt = folder / self.manifest.engine if self.manifest.engine else None
        self.engine = method.engine(learnt) if engine is None else engine
        if self.engine.fingerprint != self.manifest.fingerprint:
            raise InputError(
                "encoder",
                f"{folder} was built by another encoder than the one that {method.name} finds now "
                f"({self.manifest.fingerprint[:12]}, not {self.engine.fingerprint[:12]}); build it anew, "
                f"or put the old encoder back",
            )
        self._open()

    def _open(self) -> None:
        import numpy as np

        segments = [self.folder / name for name in self.manifest.segments]
        self.stored = Stored(segments)
        self._searcher = self.engine.open(segments)
        deleted = self.manifest.deleted
        self._deleted = np.load(self.folder / deleted) if deleted else np.empty(0, np.int64)

    def __len__(self) -> int:
        return len(self.stored) - len(self._deleted)

    @property
    def bytes(self) -> int:
        """Size of what is searched: of all its files but the documents themselves."""
        manifest = self.manifest
        names = filter(None, [manifest.engine, *manifest.segments, manifest.deleted])
        found = chain.from_iterable(files(self.folder / name) for name in names)
        return sum(file.stat().st_size for file in found if file.name not in (IDS, TEXTS))

    def search(
        self, queries: Queries, k: int = 100, within: Sequence[str] | None = None
    ) -> dict[str, dict[str, float]]:
        """The ``k`` best documents for each query, best first, with their scores.

        Parameters
        ----------
        queries : identifiers and texts.
        k : how many documents to find.
        within : identifiers of the documents to search; None for all.

        Raises
        ------
        InputError : naming ``queries`` if they are no mapping of texts, ``k`` if it is below 1.
        """
        positions, scores = self._search(queries, k, within)
        rows = zip(queries, self.stored.named(positions), scores.tolist(), strict=True)
        found = {query: dict(zip(ids, own, strict=True)) for query, ids, own in rows}
        for ranking in found.values():
            ranking.pop("", None)  # of places where nothing was found
        return found

    def positions(
        self, queries: Queries, k: int = 100, within: Sequence[str] | None = None
    ) -> dict[str, Found]:
        """What `search` gives, as positions [n] of documents in `stored` and scores [n]."""
        positions, scores = self._search(queries, k, within)
        counts = (positions >= 0).sum(1).tolist()
        rows = zip(queries, counts, positions, scores, strict=True)
        return {query: (row[:count], own[:count]) for query, count, row, own in rows}

    def _search(self, queries: Queries, k: int, within: Sequence[str] | None) -> Found:
        """The ``k`` best of those that may be found; fewer columns where there are fewer documents."""
        texts = [*queries.values()] if isinstance(queries, Mapping) else [None]
        if [text for text in texts if not isinstance(text, str)]:
            raise InputError("queries", "are not a mapping of identifiers to texts")
        if k < 1:
            raise InputError("k", f"{k} is not 1 or more")
        size = len(self.stored)
        if within is None and texts and size and not len(self._deleted):
            return self._searcher.search(texts, min(k, size))
        return self._found(texts, k, self._allowed(within))

    def _allowed(self, within: Sequence[str] | None) -> NDArray[np.bool_]:
        """Which documents may be found."""
        import numpy as np

        allowed = np.full(len(self.stored), within is None)
        allowed[self._deleted if within is None else self._alive(within)] = within is not None
        return allowed

    def _found(self, texts: Sequence[str], k: int, allowed: NDArray[np.bool_]) -> Found:
        """From a searcher that can be told what may be found; of another, more is asked for."""
        import numpy as np

        if not texts or not allowed.any():
            return np.empty((len(texts), 0), np.int64), np.empty((len(texts), 0), np.float32)
        if "allowed" in takes(self._searcher.search):
            search: Any = self._searcher.search
            found: Found = search(texts, min(k, int(allowed.sum())), allowed=allowed)
        else:
            found = self._searcher.search(texts, min(k + int((~allowed).sum()), len(self.stored)))
        return only(found, allowed, k)

    def documents(self, ids: Sequence[str]) -> list[Document]:
        """The documents of these identifiers, in their order.

        Raises
        ------
        InputError : naming ``ids`` for one that is not in the index.
        """
        found = {document.id: document for document in self.stored.documents(self._alive(ids))}
        for each in ids:
            if each not in found:
                raise InputError("ids", f"{each!r} is not in the index")
        return [found[each] for each in ids]

    def add(self, documents: Corpus) -> None:
        """Add documents, as new segments.

        Raises
        ------
        InputError : naming ``corpus`` if one is malformed, or its identifier is there already; the index
            is then as it was.
        """
        with self._changing():
            writer = SegmentWriter(self.method, self.manifest.engine, self.folder, self.engine)
            new = _grown(writer, documents, self.stored, self._deleted)
            self._commit(replace(self.manifest, segments=(*self.manifest.segments, *new)))

    def delete(self, ids: Sequence[str]) -> None:
        """Take documents out; their space is not given back.

        Raises
        ------
        InputError : naming ``ids`` for one that is not in the index; nothing is then deleted.
        """
        import numpy as np

        with self._changing():
            self.documents(ids)
            name = f"deleted-{uuid4().hex[:8]}.npy"
            with new_file(self.folder / name) as path, path.open("wb") as file:
                np.save(file, np.union1d(self._deleted, self._alive(ids)))
            self._commit(replace(self.manifest, deleted=name))

    def compact(self) -> None:
        """Write all documents anew: many small segments become few, and deleted documents' space is free.

        Takes as long as building. Those that have the index open must open it again.
        """
        with self._changing():
            writer = SegmentWriter(self.method, self.manifest.engine, self.folder, self.engine)
            segments = tuple(_grown(writer, self._documents()))
            self._commit(replace(self.manifest, segments=segments, deleted=""))

    def _documents(self) -> Iterator[Document]:
        """All that count, in their order."""
        import numpy as np

        alive = np.setdiff1d(np.arange(len(self.stored)), self._deleted)
        for first in range(0, len(alive), _BATCH):
            yield from self.stored.documents(alive[first : first + _BATCH])

    def save(self, folder: str | Path) -> Index:
        """Put a copy of the index into a new or empty folder, and return it, opened there.

        Files are never changed once they are written, so within one file system the copy shares them.
        """
        target = Path(folder).expanduser()
        with new_folder(target) as temporary:
            copy(self.folder, temporary)
        return Index(target, self.method, self.engine)

    def _alive(self, ids: Sequence[str]) -> NDArray[np.int64]:
        import numpy as np

        return np.setdiff1d(self.stored.positions([*ids]), self._deleted)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """One process at a time; what a change that failed has written goes away."""
        from filelock import FileLock, Timeout

        try:
            with FileLock(self.folder / LOCK, timeout=0):
                if read_manifest(self.folder) != self.manifest:
                    raise InputError("index", f"{self.folder} was changed by somebody else; open it again")
                clean(self.folder, self.manifest)
                try:
                    yield
                finally:
                    clean(self.folder, self.manifest)
        except Timeout as error:
            raise InputError("index", f"{self.folder} is being changed by another process") from error

    def _commit(self, manifest: Manifest) -> None:
        write_manifest(self.folder, manifest)
        self.manifest = manifest
        self._open()


def build(method: Any, engine: Engine, corpus: Corpus) -> Index:
    """Index a corpus, read once as a stream, in a temporary folder that goes when the index is forgotten.

    Raises
    ------
    InputError : naming ``corpus`` if it holds no document, or a document is malformed or there twice.
    """
    folder = Path(tempfile.mkdtemp(prefix=".etude-index-", dir=_place.get()))
    try:
        learnt = _learnt(engine, folder)
        segments = tuple(_grown(SegmentWriter(method, learnt, folder, engine), corpus))
        if not segments:
            raise InputError("corpus", "holds no document")
        manifest = Manifest(method.name, parameters(method), engine.fingerprint, learnt, segments)
        write_manifest(folder, manifest)
        clean(folder, manifest)
        index = Index(folder, method, engine)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(index, shutil.rmtree, folder, ignore_errors=True)
    return index


def _learnt(engine: Engine, folder: Path) -> str:
    """Save what the engine has learnt; the name of the folder, "" if it has learnt nothing."""
    target = folder / f"engine-{uuid4().hex[:8]}"
    target.mkdir()
    engine.save(target)
    if any(target.iterdir()):
        return target.name
    target.rmdir()
    return ""


@contextmanager
def built_in(folder: Path) -> Iterator[None]:
    """Indexes that are built inside the block lie in ``folder`` until they are saved.

    Without it they lie where the system keeps temporary files, which may be small, and another file system
    than where they are to be saved.
    """
    folder.mkdir(parents=True, exist_ok=True)
    token = _place.set(str(folder))
    try:
        yield
    finally:
        _place.reset(token)


_place: ContextVar[str | None] = ContextVar("place", default=None)


def held(corpus: Corpus) -> list[Document]:
    """All documents at once, for methods that learn from them before they index them.

    Raises
    ------
    InputError : naming ``corpus`` if it is none, holds none, or one is malformed or there twice.
    """
    documents = [checked(document) for document in check_iterable(corpus)]
    twice = [each for each, count in Counter(document.id for document in documents).items() if count > 1]
    if twice or not documents:
        problem = f"the document {twice[0]!r} is there twice" if twice else "holds no document"
        raise InputError("corpus", problem)
    return documents


def open_index(folder: str | Path, method: type[Any] | None = None) -> Index:
    """Open an index that `Index.save` wrote.

    Parameters
    ----------
    folder : that was written.
    method : the class of the retriever, for those of plug-ins.

    Raises
    ------
    InputError : see `Index`.
    """
    path = Path(folder).expanduser()
    manifest = read_manifest(path)
    if method is None:
        from etude.search import retrieve

        method = named(retrieve, manifest.method, "index")
    given = {name: tuple(v) if isinstance(v, list) else v for name, v in manifest.parameters.items()}
    return Index(path, method(**given))


def _grown(
    writer: SegmentWriter,
    documents: Corpus,
    old: Stored | None = None,
    deleted: Sequence[int] | NDArray[np.int64] = (),
) -> list[str]:
    """Write new segments; their documents' identifiers must be new, and stand once.

    Parameters
    ----------
    old : what is in the index.
    deleted : positions in ``old`` that do not count.
    """
    import numpy as np

    names: list[str] = []
    for segment in writer.write(documents):
        ids = Stored([segment]).ids()
        if len(set(ids)) < len(ids):
            raise InputError("corpus", f"the document {Counter(ids).most_common(1)[0][0]!r} is there twice")
        for stored, dead in ((Stored([writer.folder / name for name in names]), ()), (old, deleted)):
            there = np.empty(0, np.int64) if stored is None else np.setdiff1d(stored.positions(ids), dead)
            if stored is not None and len(there):
                twice = stored.ids(there[:1])[0]
                raise InputError("corpus", f"the document {twice!r} is there already; delete it first")
        names.append(segment.name)
    return names
