"""A reranker as a server holds it: in a thread of its own, so that nobody waits who asks without it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace

from etude.search.collection import Document
from etude.search.rerank.reranking import Reranker
from etude.site.live import Hit


class Reranking:
    """Puts what was found in a better order, the questions of all clients one after the other.

    A question that is given up while it waits costs nothing; one that has begun is ranked to its end.

    Parameters
    ----------
    reranker : that ranks, called from one thread only.
    depth : documents that it ranks for a question, and so the most that a client gets.

    Examples
    --------
    >>> from etude.search.rerank import FirstStage
    >>> hits = [Hit("a", 7.5, "", "a wing"), Hit("b", 7.0, "", "a tail")]
    >>> async def ask():
    ...     async with Reranking(FirstStage().fit(), depth=10).running() as reranking:
    ...         return await reranking.ranked("wings?", hits)
    >>> [(hit.id, hit.score) for hit in asyncio.run(ask())]
    [('a', 0.0), ('b', -1.0)]
    """

    def __init__(self, reranker: Reranker, depth: int) -> None:
        self.reranker, self.depth = reranker, depth

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Reranking]:
        """Ranks inside the block."""
        self._pool = ThreadPoolExecutor(1, "rerank")
        try:
            yield self
        finally:
            self._pool.shutdown(cancel_futures=True)

    async def ranked(self, question: str, hits: Sequence[Hit]) -> list[Hit]:
        """The hits, which have their texts, in the reranker's order and with its scores."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, _ranked, self.reranker, question, hits)


def _ranked(reranker: Reranker, question: str, hits: Sequence[Hit]) -> list[Hit]:
    ranking = reranker.rank(question, [Document(hit.id, hit.text or "", hit.title or "") for hit in hits])
    return [replace(hits[place], score=ranking.scores[place]) for place in ranking.order]
