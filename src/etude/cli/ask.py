"""``etude ask``: a question to an index, the documents that fit best."""

from __future__ import annotations

import dataclasses
import inspect
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from etude import catalog
from etude.cli.flags import Json, whole
from etude.cli.output import add, console, print_json, table
from etude.errors import InputError
from etude.progress import shown

if TYPE_CHECKING:
    from etude.search.answer import Answer
    from etude.search.rerank.reranking import Reranker


def ask(
    index: Annotated[Path, Parameter(help="folder that `etude index` made")],
    question: Annotated[str, Parameter(help="in words")],
    /,
    *,
    k: Annotated[int, whole("how many documents to show", 1), Parameter(name=("--k", "-k"))] = 10,
    rerank: Annotated[
        str, Parameter(help="name of a reranker, or folder of one that was saved", show_default=False)
    ] = "",
    depth: Annotated[int, whole("how many documents are reranked", 1)] = 100,
    json: Json = False,
) -> None:
    """Find the documents of an index that answer a question."""
    from etude.search.answer import answer
    from etude.search.retrieve import open_index

    with shown():
        opened = open_index(index)
        reranker = reranker_of(rerank) if rerank else None
        start = time.perf_counter()
        found = answer(opened, question, k, reranker, depth)
        seconds = time.perf_counter() - start
    if json:
        print_json(_plain(found, question, seconds))
    else:
        _show(found, question, seconds)


def reranker_of(name: str) -> Reranker:
    """A reranker by name, as it is by default; or by folder, as it was saved."""
    from etude.search.rerank.reranking import MANIFEST, load_reranker

    if (Path(name).expanduser() / MANIFEST).is_file():
        return load_reranker(name)
    if "/" in name:
        raise InputError("rerank", f"{name} holds no reranker that was saved")
    known = [each.partition("/")[2] for each in catalog.methods_of("rerank")]
    if name not in known and name in catalog.bare_names():
        raise InputError("rerank", f"{name} is a method of {catalog.tasks_of(name)[0]}; name a reranker")
    if name not in known:
        raise catalog.unknown_name("rerank", name, known)
    cls: Any = catalog.method(name, "rerank")
    fit = cls().fit
    if any(each.default is each.empty for each in inspect.signature(fit).parameters.values()):
        raise InputError("rerank", f"{name} must learn first: fit it, save it, and give its folder")
    made: Reranker = fit()
    return made


def _plain(found: Answer, question: str, seconds: float) -> dict[str, Any]:
    pairs = zip(found.documents, found.scores, strict=True)
    return {
        "question": question,
        "seconds": round(seconds, 4),
        "reranking": None if found.counts is None else dataclasses.asdict(found.counts),
        "documents": [
            {"rank": rank, "id": d.id, "score": score, "title": d.title, "text": d.text}
            for rank, (d, score) in enumerate(pairs, 1)
        ],
    }


def _show(found: Answer, question: str, seconds: float) -> None:
    from rich.text import Text

    from etude.search.answer import snippet

    out = console()
    if not found.documents:
        out.print("Nothing was found.")
        return
    rows = table(("", {"justify": "right"}), ("score", {"justify": "right"}), ("document", {"ratio": 1}))
    for rank, (document, score) in enumerate(zip(found.documents, found.scores, strict=True), 1):
        heading = f"{document.title}  [{document.id}]" if document.title else document.id
        body = document.text.removeprefix(document.title)
        cell = Text.assemble((heading, "bold"), "\n", snippet(body, question))
        add(rows, str(rank), f"{score:.4g}", cell)
    out.print(rows)
    cost = (
        ""
        if found.counts is None
        else f", {found.counts.read:,} tokens read, {found.counts.generated:,} generated"
    )
    out.print(f"{len(found.documents)} documents in {seconds * 1e3:,.0f} ms{cost}", style="dim")
