"""An index as a server holds it: a few threads search it, and a change on disk is taken up by itself."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from etude.errors import InputError
from etude.search.retrieve.index import Index, open_index
from etude.search.retrieve.manifest import MANIFEST, read_manifest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Hit:
    """A document that was found; ``title`` and ``text`` only where they were asked for."""

    id: str
    score: float
    title: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class _Question:
    text: str
    k: int
    texts: bool
    answer: asyncio.Future[list[Hit]]


class Live:
    """An open index, and the questions that wait for it.

    A thread that becomes free takes all questions that wait, up to ``batch``, and searches them at once:
    nothing waits for company, and the busier the server, the larger the batches. When the index's manifest
    changes, the new index is opened beside the old one, which answers until then and goes when its last
    question is answered; if the new one cannot be opened, the old one stays and ``trouble`` says why.

    Parameters
    ----------
    folder : of the index.
    threads : that search, each by an encoder of its own, for few encoders bear to be called from two at once.
    batch : questions that are searched together, at most.
    poll : seconds between two looks at the manifest.

    Raises
    ------
    InputError : see `open_index`.

    Examples
    --------
    >>> import tempfile
    >>> from etude.search.collection import Document
    >>> from etude.search.retrieve import BM25
    >>> folder = Path(tempfile.mkdtemp()) / "birds"
    >>> _ = BM25().index([Document("a", "a wing"), Document("b", "a tail")]).save(folder)
    >>> async def ask():
    ...     async with Live(folder).running() as live:
    ...         return await live.search(["wings", "tails"], k=1)
    >>> [hit.id for hits in asyncio.run(ask()) for hit in hits]
    ['a', 'b']
    """

    def __init__(self, folder: Path, *, threads: int = 1, batch: int = 32, poll: float = 1.0) -> None:
        self.folder = folder
        self.batch, self.poll = batch, poll
        self.trouble = ""
        self._stamp = _stamp(folder)
        self._indexes = [open_index(folder) for _ in range(threads)]

    @property
    def index(self) -> Index:
        """The index that answers now."""
        return self._indexes[0]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Live]:
        """Answers questions inside the block."""
        self._waiting: asyncio.Queue[_Question] = asyncio.Queue()
        with ThreadPoolExecutor(len(self._indexes), "search") as self._pool:
            tasks = [asyncio.create_task(self._answer(place)) for place in range(len(self._indexes))]
            tasks.append(asyncio.create_task(self._watch()))
            try:
                yield self
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def search(self, questions: Sequence[str], k: int, texts: bool = False) -> list[list[Hit]]:
        """The ``k`` best documents for each question, best first; gives its place up when it is cancelled."""
        loop = asyncio.get_running_loop()
        asked = [_Question(text, k, texts, loop.create_future()) for text in questions]
        for question in asked:
            self._waiting.put_nowait(question)
        return await asyncio.gather(*(question.answer for question in asked))

    async def _answer(self, place: int) -> None:
        loop = asyncio.get_running_loop()
        while True:
            group = [await self._waiting.get()]
            while len(group) < self.batch and not self._waiting.empty():
                group.append(self._waiting.get_nowait())
            wanted = [question for question in group if not question.answer.done()]
            try:
                found = await loop.run_in_executor(self._pool, _found, self._indexes[place], wanted)
            except Exception as error:  # theirs to raise: this loop serves others
                for question in wanted:
                    _settle(question.answer, error)
            else:
                for question, hits in zip(wanted, found, strict=True):
                    _settle(question.answer, hits)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self.poll)
            stamp = _stamp(self.folder)
            if stamp == self._stamp:
                continue
            try:
                self._indexes = await asyncio.to_thread(lambda: [*map(_reopened, self._indexes)])
                self._stamp, self.trouble = stamp, ""
            except (InputError, OSError) as error:
                self.trouble = str(error)


def _reopened(old: Index) -> Index:
    """The index as it is on disk now; what encodes questions is not loaded again if it is the same."""
    new = read_manifest(old.folder)
    made_by = [(m.method, m.parameters, m.engine, m.fingerprint) for m in (old.manifest, new)]
    return Index(old.folder, old.method, old.engine) if made_by[0] == made_by[1] else open_index(old.folder)


def _settle(answer: asyncio.Future[list[Hit]], outcome: list[Hit] | Exception) -> None:
    if answer.done():  # cancelled meanwhile
        return
    if isinstance(outcome, Exception):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)


def _stamp(folder: Path) -> tuple[int, int, int]:
    """What changes when another manifest takes the place of the old one; zeros while there is none."""
    try:
        state = (folder / MANIFEST).stat()
    except OSError:
        return 0, 0, 0
    return state.st_ino, state.st_mtime_ns, state.st_size


def _found(index: Index, questions: Sequence[_Question]) -> list[list[Hit]]:
    """Only those that want as many documents go together: of some indexes, ``k`` tells what is found."""
    hits: list[list[Hit]] = [[] for _ in questions]
    groups: defaultdict[int, list[int]] = defaultdict(list)
    for place, question in enumerate(questions):
        groups[question.k].append(place)
    for k, places in groups.items():
        found = index.positions({str(place): questions[place].text for place in places}, k)
        for place in places:
            positions, scores = found[str(place)]
            hits[place] = _hits(index, positions, scores.tolist(), questions[place].texts)
    return hits


def _hits(index: Index, positions: NDArray[np.int64], scores: list[float], texts: bool) -> list[Hit]:
    if not texts:
        ids = index.stored.ids(positions)
        return [Hit(each, score) for each, score in zip(ids, scores, strict=True)]
    documents = index.stored.documents(positions)
    return [Hit(d.id, score, d.title, d.text) for d, score in zip(documents, scores, strict=True)]
