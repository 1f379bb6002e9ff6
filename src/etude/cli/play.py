"""``etude run`` and ``etude compare``: their flags are the fields of the task's inputs and of the method."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

from etude import api, catalog
from etude.cli.errors import Failure
from etude.cli.flags import Json, Store, flags, open_store, with_flags
from etude.cli.output import console, print_json, table
from etude.errors import InputError
from etude.fields import fields, summary
from etude.progress import shown

if TYPE_CHECKING:
    from etude.engine.compare import Comparison
    from etude.engine.record import Record

OPTIONS = Group("Run", sort_key=3)

Seed = Annotated[int, Parameter(help="seed of all random numbers", group=OPTIONS)]
Out = Annotated[Path | None, Parameter(group=OPTIONS)]


def command(name: str, tokens: Sequence[str]) -> Callable[..., None]:
    """``run`` or ``compare`` with the flags of the method that ``tokens`` name; without them if none is."""
    function = {"run": run, "compare": compare}[name]
    method = _method_in(tokens)
    if method is None:
        return with_flags(function, [], f"{function.__doc__}\n\n{_known_methods()}")
    cls: Any = catalog.method(method)
    inputs = flags(catalog.task(cls.task).inputs, Group("Inputs", sort_key=2))
    if function is compare:
        return with_flags(compare, inputs, f"{compare.__doc__}\n\n{_settable(tokens)}")
    own = flags(cls, Group(f"Settings of {method}", sort_key=1))
    return with_flags(run, own + inputs, f"{summary(cls)}\n\n{_paper(cls)}")


def run(
    method: Annotated[str, Parameter(help="name of a method; its own flags: `etude run METHOD --help`")],
    /,
    *,
    seed: Seed = 0,
    out: Annotated[Path | None, Parameter(help="new folder for what the method makes", group=OPTIONS)] = None,
    store: Store = None,
    json: Json = False,
    **values: Any,
) -> None:
    """Run one method on a model and data."""
    from etude.engine.run import RunFailed

    with shown():
        try:
            record = api.run(method, seed=seed, out=out, store=open_store(store), **values)
        except RunFailed as failure:
            key = failure.record.key
            raise Failure(f"RunFailed: {failure}; `etude runs {key[:8]}` shows the traceback") from failure
    print_json(record.to_json()) if json else _show_run(record)


def compare(
    *methods: Annotated[str, Parameter(help="names of methods of one task", negative=())],
    seeds: Annotated[int, Parameter(help="how many seeds", group=OPTIONS)] = 3,
    set_: Annotated[
        tuple[str, ...],
        Parameter(
            name="--set",
            group=OPTIONS,
            negative=(),
            show_default=False,
            help="values to try, as ratio=0.1,0.2 for every method with that field, or flap.ratio=0.2; "
            "repeat for a grid",
        ),
    ] = (),
    baselines: Annotated[bool, Parameter(help="add the task's baselines", group=OPTIONS)] = True,
    out: Annotated[
        Path | None,
        Parameter(help="folder for report.html, PNG, JSON and CSV [default: in the store]", group=OPTIONS),
    ] = None,
    jobs: Annotated[
        int | None, Parameter(help="worker processes [default: one a core]", group=OPTIONS)
    ] = None,
    keep: Annotated[
        Literal["first", "all", "none"], Parameter(help="of which seeds to keep what is made", group=OPTIONS)
    ] = "first",
    fresh: Annotated[
        bool, Parameter(help="run again what the store holds", group=OPTIONS, negative=(), show_default=False)
    ] = False,
    store: Store = None,
    json: Json = False,
    **inputs: Any,
) -> None:
    """Set methods side by side, over settings and seeds; what the store holds is not run again."""
    from etude.engine.report import write

    if seeds < 1:
        raise InputError("seeds", f"{seeds} is not >= 1")
    records = open_store(store)
    with shown():
        found = api.compare(
            methods,
            seeds=seeds,
            settings=parse_settings(set_),
            baselines=baselines,
            store=records,
            jobs=jobs,
            keep=keep,
            fresh=fresh,
            **inputs,
        )
    written = write(found, out or records.artifacts / "reports" / found.task.name)
    print_json(_as_json(found)) if json else _show_comparison(found, written, records)
    if not any(record.status == "done" for record in found.records):
        raise Failure(
            f"RunFailed: every run failed; `etude runs {found.records[0].key[:8]}` shows the first traceback"
        )


def parse_settings(texts: Iterable[str]) -> dict[str, list[str]]:
    """What ``--set`` was given, as field to values.

    Examples
    --------
    >>> parse_settings(["ratio=0.1,0.2", "flap.metric=WIFV"])
    {'ratio': ['0.1', '0.2'], 'flap.metric': ['WIFV']}
    """
    settings: dict[str, list[str]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        several = [value.strip() for value in values.split(",") if value.strip()]
        if not (name.strip() and equals and several):
            raise InputError(
                "set", f"{text!r} is not field=value,value; write for example --set ratio=0.1,0.2"
            )
        method, dot, field = name.strip().rpartition(".")
        settings.setdefault(method + dot + field.replace("-", "_"), []).extend(several)
    return settings


def _method_in(tokens: Sequence[str]) -> str | None:
    """The method that a command line is about: its first word, or where flags come first, the first that is one."""
    if not tokens or tokens[0] in ("--help", "-h"):
        return None
    if not tokens[0].startswith("-"):
        return tokens[0]
    known = catalog.method_names()
    return next((token for token in tokens if token in known), None)


def _settable(tokens: Sequence[str]) -> str:
    """The fields that ``--set`` can reach, of each method named."""
    names = [token for token in tokens if token in catalog.method_names()]
    lists = [f"{name}: {', '.join(f.name for f in fields(catalog.method(name))) or 'none'}" for name in names]
    return f"Fields for --set. {'; '.join(lists)}."


def _paper(cls: Any) -> str:
    if cls.paper is None or cls.paper not in catalog.papers():
        return "A baseline."
    card = catalog.paper(cls.paper)
    return f"{card.title} ({card.venue}, arXiv:{card.arxiv})."


def _known_methods() -> str:
    return f"Methods: {', '.join(catalog.method_names())}."


def _show_run(record: Record) -> None:
    from etude.engine.measure import MEASURES

    out = console()
    settings = " ".join(f"{name}={value}" for name, value in record.parameters.items())
    out.print(f"[bold]{record.method}[/] {settings} seed={record.seed}", highlight=False)
    figures = table("", ("", {"justify": "right"}))
    for metric in (*catalog.task(record.task).metrics, *MEASURES):
        if metric.name in record.metrics:
            value = record.metrics[metric.name]
            figures.add_row(metric.title, f"{value:,.{metric.digits}f} {metric.unit}".strip())
    out.print(figures)
    out.print(f"artifact  {record.artifact}", soft_wrap=True)
    out.print(f"record    etude runs {record.key[:8]}", soft_wrap=True)
