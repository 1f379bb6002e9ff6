"""``etude search-serve``: an index over HTTP."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from etude.cli.flags import whole
from etude.cli.output import console
from etude.errors import InputError

WHERE = Group("Server", sort_key=1)
LIMITS = Group("Limits", sort_key=2)


def search_serve(
    index: Annotated[Path, Parameter(help="folder that `etude index` made")],
    /,
    *,
    host: Annotated[
        str, Parameter(help="address to listen on; others than loopback need a token", group=WHERE)
    ] = ("127.0.0.1"),
    port: Annotated[int, whole("port to listen on, 0 for any that is free", 0, WHERE)] = 8000,
    token: Annotated[
        str,
        Parameter(help="that requests must give [default: $ETUDE_TOKEN]", group=WHERE, show_default=False),
    ] = "",
    threads: Annotated[int, whole("threads that search, each with its own encoder", 1, WHERE)] = 1,
    rerank: Annotated[
        str,
        Parameter(
            help="reranker that a request may ask for: a name, or folder of one that was saved",
            group=WHERE,
            show_default=False,
        ),
    ] = "",
    depth: Annotated[int, whole("documents of a question that are reranked", 1, LIMITS)] = 20,
    k: Annotated[int, whole("documents a question, at most", 1, LIMITS)] = 1000,
    question: Annotated[int, whole("characters of a question, at most", 1, LIMITS)] = 1000,
    batch: Annotated[int, whole("questions a request, at most", 1, LIMITS)] = 64,
    concurrency: Annotated[int, whole("requests under way, at most", 1, LIMITS)] = 512,
    rate: Annotated[
        float, Parameter(help="requests a second of one client, 0 for any number", group=LIMITS)
    ] = 0.0,
    seconds: Annotated[float, Parameter(help="that a request and its answer may take", group=LIMITS)] = 10.0,
) -> None:
    """Serve an index over HTTP: /search, /info, /health; described at /docs.

    An index that is changed meanwhile (`etude index --add`, say) is taken up within a second.
    """
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise InputError("search-serve", f'needs {error.name}: pip install "etude[serve]"') from error
    from etude.cli.ask import reranker_of
    from etude.site.guard import Limits
    from etude.site.reranking import Reranking
    from etude.site.search import application
    from etude.site.server import Server, check_host

    token = token or os.environ.get("ETUDE_TOKEN", "")
    check_host(host, token)
    limits = Limits(k=k, question=question, batch=batch, concurrency=concurrency, rate=rate, seconds=seconds)
    reranking = Reranking(reranker_of(rerank), depth) if rerank else None
    app = application(index, limits=limits, token=token, threads=threads, reranking=reranking)
    server = Server(app, host=host, port=port, token=token, seconds=seconds, connections=4 * concurrency)
    console().print(f"http://{host}:{server.port}/docs describes the service; Ctrl-C ends it", markup=False)
    with suppress(KeyboardInterrupt):  # uvicorn has answered what was under way
        server.run()
