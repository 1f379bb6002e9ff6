"""The search service: an index over HTTP, with its description in OpenAPI at ``/docs``."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastapi import Body, FastAPI, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

import etude
from etude.errors import InputError
from etude.method import parameters
from etude.site.guard import Guard, Limits
from etude.site.live import Hit, Live
from etude.site.reranking import Reranking


class Found(BaseModel):
    """What was found for one question, best first."""

    question: str
    hits: list[Hit]


class Answers(BaseModel):
    """One entry for each question, in their order."""

    results: list[Found]


class Health(BaseModel):
    """``status`` is "stale" while the index on disk is another that cannot be opened: ``detail`` says why."""

    status: str
    detail: str = ""


class Info(BaseModel):
    """What is searched, by what, and within which limits."""

    method: str
    parameters: dict[str, Any]
    documents: int
    bytes: int
    segments: int
    reranker: str = Field(description='that "rerank" asks for; "" for none')
    limits: dict[str, float]


def application(
    folder: Path,
    *,
    limits: Limits | None = None,
    token: str = "",
    threads: int = 1,
    reranking: Reranking | None = None,
) -> Guard:
    """An ASGI application that searches an index.

    Parameters
    ----------
    folder : of the index; opened here, so that a wrong one is told at once.
    limits : see `Limits`; None for its defaults.
    token : that requests must give, "" for none.
    threads : that search.
    reranking : what clients may ask for with ``rerank``; None for nothing.

    Raises
    ------
    InputError : if the index cannot be opened.
    """
    limits = Limits() if limits is None else limits
    live = Live(folder, threads=threads, batch=limits.batch)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(live.running())
            if reranking is not None:
                await stack.enter_async_context(reranking.running())
            yield

    app = FastAPI(title="Etude search", version=etude.__version__, lifespan=lifespan)
    app.add_exception_handler(InputError, _unprocessable)
    _routes(app, live, reranking, limits)
    return Guard(app, limits, token)


async def _unprocessable(_: Request, error: Exception) -> JSONResponse:
    """What the index itself cannot make sense of."""
    return JSONResponse({"detail": str(error)}, 422)


async def _found(
    live: Live, reranking: Reranking | None, questions: Sequence[str], k: int, texts: bool, rerank: bool
) -> list[list[Hit]]:
    """The best documents for each question, by the index, or by the reranker among those."""
    if not rerank:
        return await live.search(questions, k, texts)
    if reranking is None:
        raise InputError("rerank", "this server has no reranker; it is named where the server is started")
    if k > reranking.depth:
        raise InputError("k", f"of a question, {reranking.depth} documents are reranked, fewer than {k}")
    found = await live.search(questions, reranking.depth, texts=True)
    ranked = await asyncio.gather(*map(reranking.ranked, questions, found))
    return [[hit if texts else replace(hit, title=None, text=None) for hit in hits[:k]] for hits in ranked]


def _routes(app: FastAPI, live: Live, reranking: Reranking | None, limits: Limits) -> None:
    @app.get("/search")
    async def search(
        q: str = Query(min_length=1, max_length=limits.question, description="the question"),
        k: int = Query(10, ge=1, le=limits.k, description="documents wanted"),
        texts: bool = Query(False, description="whether to give titles and texts too"),
        rerank: bool = Query(False, description="whether the server's reranker orders what was found"),
    ) -> Found:
        """Search for one question."""
        (hits,) = await _found(live, reranking, [q], k, texts, rerank)
        return Found(question=q, hits=hits)

    @app.post("/search")
    async def search_all(
        questions: list[str] = Body(min_length=1, max_length=limits.batch),  # noqa: B008
        k: int = Body(10, ge=1, le=limits.k),
        texts: bool = Body(False),
        rerank: bool = Body(False),
    ) -> Answers:
        """Search for several questions at once."""
        for question in questions:
            if not 1 <= len(question) <= limits.question:
                raise InputError(
                    "questions", f"one has {len(question)} characters, not 1 to {limits.question}"
                )
            if re.search("[\ud800-\udfff]", question):  # JSON can say it, UTF-8 cannot
                raise InputError("questions", "one holds half of a character")
        found = await _found(live, reranking, questions, k, texts, rerank)
        results = [Found(question=q, hits=hits) for q, hits in zip(questions, found, strict=True)]
        return Answers(results=results)

    @app.get("/health")
    async def health() -> Health:
        """Whether the index on disk is the one that answers."""
        return Health(status="stale" if live.trouble else "ok", detail=live.trouble)

    @app.get("/info")
    async def info() -> Info:
        """What is searched."""
        index = live.index
        return Info(
            method=index.method.name,
            parameters=parameters(index.method),
            documents=len(index),
            bytes=index.bytes,
            segments=len(index.manifest.segments),
            reranker="" if reranking is None else reranking.reranker.method.name,
            limits=parameters(limits),
        )
