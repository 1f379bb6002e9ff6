"""``etude index``: documents become an index, with the fields of the method as flags; or one is changed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from etude import catalog
from etude.cli.flags import OPTIONS, Json, flags, value_of, whole, with_flags
from etude.cli.output import console, print_json
from etude.errors import InputError
from etude.fields import build, summary
from etude.method import takes
from etude.progress import shown

if TYPE_CHECKING:
    from etude.search.retrieve.index import Index

DEFAULT = "bm25"


def command(tokens: Sequence[str]) -> Callable[..., None]:
    """``etude index`` with the flags of the method that ``tokens`` name."""
    name = value_of("--method", tokens) or DEFAULT
    cls = catalog.method(name, "retrieve")
    _check_retriever(cls)
    own = flags(cls, Group(f"Settings of {name}", sort_key=1))
    return with_flags(index, own, f"{index.__doc__}\n\n{name}: {summary(cls)}")


def index(
    corpus: Annotated[
        str | None,
        Parameter(
            help="a folder of text, Markdown, HTML and PDF; a JSON-lines, Parquet, CSV, TSV or TREC file; a "
            "folder in the layout of BEIR; or a collection (cranfield)"
        ),
    ] = None,
    /,
    *,
    out: Annotated[Path, Parameter(help="folder of the index", group=OPTIONS)],
    method: Annotated[
        str, Parameter(help="retriever; its flags: --method NAME --help", group=OPTIONS)
    ] = DEFAULT,
    add: Annotated[
        bool,
        Parameter(help="add to the index that is there", group=OPTIONS, negative=(), show_default=False),
    ] = False,
    delete: Annotated[
        tuple[str, ...],
        Parameter(
            help="identifier of a document to delete; repeat for more",
            group=OPTIONS,
            negative=(),
            show_default=False,
        ),
    ] = (),
    compact: Annotated[
        bool,
        Parameter(
            help="write the index that is there anew: fewer segments, nothing of what was deleted",
            group=OPTIONS,
            negative=(),
            show_default=False,
        ),
    ] = False,
    seed: Annotated[int, whole("seed of what is learnt", 0, OPTIONS)] = 0,
    on: Annotated[
        str,
        Parameter(
            help="where to encode: ray, or ray:ADDRESS for a cluster [default: here]",
            group=OPTIONS,
            show_default=False,
        ),
    ] = "",
    json: Json = False,
    **settings: Any,
) -> None:
    """Index documents, so that `etude ask` finds them.

    An index is a folder. It is written whole or not at all; --add, --delete and --compact change one that is
    there.
    """
    start = time.perf_counter()
    with shown(), _spread(on):
        if add or delete or compact:
            found = _changed(corpus, out, delete, compact)
        else:
            found = _built(corpus, out, build(catalog.method(method, "retrieve"), settings), seed)
    facts = {
        "index": str(out),
        "method": found.manifest.method,
        "documents": len(found),
        "segments": len(found.manifest.segments),
        "megabytes": round(found.bytes / 1e6, 2),
        "seconds": round(time.perf_counter() - start, 2),
    }
    if json:
        print_json(facts)
        return
    console().print(
        f"{facts['index']}: {facts['documents']:,} documents, {facts['method']}, "
        f"{facts['segments']} segment(s) of {facts['megabytes']:,} MB, in {facts['seconds']} s",
        soft_wrap=True,
        markup=False,
    )


def _built(corpus: str | None, out: Path, method: Any, seed: int) -> Index:
    from etude.data.corpora import read_corpus
    from etude.search.retrieve.index import built_in

    if corpus is None:
        raise InputError("corpus", "is missing; name a folder or a file of documents")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError("out", f"{out} is there already; --add adds to an index, or name a new folder")
    verb = method.index
    with built_in(out.absolute().parent), _named_corpus():
        given = {"corpus": read_corpus(corpus), "seed": seed}
        made: Index = verb(**{name: value for name, value in given.items() if name in takes(verb)})
        return made.save(out)


def _changed(corpus: str | None, out: Path, deleted: Sequence[str], compact: bool) -> Index:
    from etude.data.corpora import read_corpus
    from etude.search.retrieve import open_index

    found = open_index(out)
    if deleted:
        found.delete(deleted)
    if corpus is not None:
        with _named_corpus():
            found.add(read_corpus(corpus))
    if compact:
        found.compact()
    return found


def _spread(on: str) -> contextlib.AbstractContextManager[None]:
    """Where segments are made."""
    if not on:
        return contextlib.nullcontext()
    from etude.engine.scale import on_ray
    from etude.search.retrieve.segments import spread_by

    return spread_by(on_ray(on))


def _check_retriever(cls: Any) -> None:
    if cls.task != "retrieve":
        raise InputError("method", f"{cls.name} is a method of {cls.task}; name a retriever, such as bm25")


@contextlib.contextmanager
def _named_corpus() -> Iterator[None]:
    """What is wrong with documents is said of what the command calls them."""
    try:
        yield
    except InputError as error:
        if error.field != "data":
            raise
        raise InputError("corpus", error.message) from error
