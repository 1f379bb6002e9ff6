"""The search service: an index over HTTP, with its description in OpenAPI at ``/docs``."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import Body, FastAPI, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

import etude
from etude.errors import InputError
from etude.method import parameters
from etude.site.guard import Guard, Limits
from etude.site.live import Hit, Live


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
    limits: dict[str, float]


def application(folder: Path, *, limits: Limits | None = None, token: str = "", threads: int = 1) -> Guard:
    """An ASGI application that searches an index.

    Parameters
    ----------
    folder : of the index; opened here, so that a wrong one is told at once.
    limits : see `Limits`; None for its defaults.
    token : that requests must give, "" for none.
    threads : that search.

    Raises
    ------
    InputError : if the index cannot be opened.
    """
    limits = Limits() if limits is None else limits
    live = Live(folder, threads=threads, batch=limits.batch)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with live.running():
            yield

    app = FastAPI(title="Etude search", version=etude.__version__, lifespan=lifespan)
    app.add_exception_handler(InputError, _unprocessable)
    _routes(app, live, limits)
    return Guard(app, limits, token)


async def _unprocessable(_: Request, error: Exception) -> JSONResponse:
    """What the index itself cannot make sense of."""
    return JSONResponse({"detail": str(error)}, 422)


def _routes(app: FastAPI, live: Live, limits: Limits) -> None:
    @app.get("/search")
    async def search(
        q: str = Query(min_length=1, max_length=limits.question, description="the question"),
        k: int = Query(10, ge=1, le=limits.k, description="documents wanted"),
        texts: bool = Query(False, description="whether to give titles and texts too"),
    ) -> Found:
        """Search for one question."""
        (hits,) = await live.search([q], k, texts)
        return Found(question=q, hits=hits)

    @app.post("/search")
    async def search_all(
        questions: list[str] = Body(min_length=1, max_length=limits.batch),  # noqa: B008
        k: int = Body(10, ge=1, le=limits.k),
        texts: bool = Body(False),
    ) -> Answers:
        """Search for several questions at once."""
        for question in questions:
            if not 1 <= len(question) <= limits.question:
                raise InputError(
                    "questions", f"one has {len(question)} characters, not 1 to {limits.question}"
                )
            if re.search("[\ud800-\udfff]", question):  # JSON can say it, UTF-8 cannot
                raise InputError("questions", "one holds half of a character")
        found = await live.search(questions, k, texts)
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
            limits=parameters(limits),
        )
