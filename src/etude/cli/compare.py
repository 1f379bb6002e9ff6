"""``etude compare``: methods side by side, with the fields of their task's inputs as flags."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from etude import api, catalog
from etude.cli.errors import Failure
from etude.cli.flags import (
    INPUTS,
    OPTIONS,
    Json,
    Store,
    flags,
    known_methods,
    method_in,
    methods_in,
    open_store,
    value_of,
    whole,
    with_flags,
)
from etude.cli.output import SHORT, console, print_json
from etude.errors import InputError
from etude.fields import fields
from etude.progress import shown

if TYPE_CHECKING:
    from etude.engine.compare import Comparison
    from etude.engine.store import Store as Records


def command(tokens: Sequence[str]) -> Callable[..., None]:
    """``etude compare`` with the flags of the task of the method that ``tokens`` name."""
    asked, name = value_of("--task", tokens), method_in(tokens)
    if asked is not None:
        named = catalog.methods_of(asked)
    elif name is not None:
        named = [*dict.fromkeys([name, *methods_in(tokens)])]
    else:
        return with_flags(compare, [], f"{compare.__doc__}\n\n{known_methods()}")
    task = api.common_task(named)
    text = f"{compare.__doc__}\n\n{_settable(named, task.name)}"
    return with_flags(compare, flags(task.inputs, INPUTS), text)


def compare(
    *methods: Annotated[str, Parameter(help="names of methods of one task", negative=())],
    task: Annotated[
        str | None,
        Parameter(help="the methods' task; without methods, all of it", group=OPTIONS, show_default=False),
    ] = None,
    seeds: Annotated[int, whole("how many seeds", 1, OPTIONS)] = 3,
    set_: Annotated[
        tuple[str, ...],
        Parameter(
            name="--set",
            group=OPTIONS,
            negative=(),
            show_default=False,
            help="values to try: ratio=0.1,0.2 for every method with that field, flap.ratio=0.2 for one; "
            "repeat for a grid",
        ),
    ] = (),
    baselines: Annotated[bool, Parameter(help="add the task's baselines", group=OPTIONS)] = True,
    jobs: Annotated[int | None, whole("worker processes [default: one a core]", 1, OPTIONS)] = None,
    on: Annotated[
        str,
        Parameter(
            help="where to run: ray, or ray:ADDRESS for a cluster [default: this machine's processes]",
            group=OPTIONS,
            show_default=False,
        ),
    ] = "",
    keep: Annotated[
        Literal["first", "all", "none"], Parameter(help="of which seeds to keep what is made", group=OPTIONS)
    ] = "first",
    fresh: Annotated[
        bool, Parameter(help="run again what the store holds", group=OPTIONS, negative=(), show_default=False)
    ] = False,
    out: Annotated[
        Path | None,
        Parameter(
            help="folder for the report: HTML, PNG, JSON, CSV [default: beside the records]", group=OPTIONS
        ),
    ] = None,
    store: Store = None,
    json: Json = False,
    **inputs: Any,
) -> None:
    """Set methods side by side, over settings and seeds; what the store holds is not run again."""
    from etude.engine.report import write

    records = open_store(store)
    with shown():
        found = api.compare(
            methods,
            task=task,
            seeds=seeds,
            settings=parse_settings(set_),
            baselines=baselines,
            store=records,
            jobs=jobs,
            keep=keep,
            fresh=fresh,
            on=on,
            **inputs,
        )
    written = write(found, out or records.artifacts.with_suffix(".reports") / found.task.name)
    if json:
        print_json(found.to_json())
    else:
        _show(found, written, records)
    failed = [record for record in found.records if record.status == "failed"]
    if failed:
        key = failed[0].key[:SHORT]
        count = f"{len(failed)} of {len(found.records)} runs failed"
        raise Failure(
            f"RunFailed: {count}; `etude runs {key}` shows the first traceback, the same command tries again"
        )


def parse_settings(texts: Iterable[str]) -> dict[str, list[str]]:
    """What ``--set`` was given, as field to values.

    Examples
    --------
    >>> parse_settings(["ratio=0.1,0.2", "llm-pruner.ratio=0.3"])
    {'ratio': ['0.1', '0.2'], 'llm-pruner.ratio': ['0.3']}
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


def _settable(names: Sequence[str], task: str) -> str:
    """The fields that ``--set`` can reach, of each method named."""
    classes = {name: catalog.method(name, task) for name in names}
    lists = [f"{name}: {', '.join(f.name for f in fields(cls)) or 'none'}" for name, cls in classes.items()]
    return f"Fields for --set. {'; '.join(lists)}."


def _show(found: Comparison, written: Mapping[str, Path], records: Records) -> None:
    from etude.engine.report import table

    out = console()
    out.print(table(found, width=out.width))
    kept = [record.artifact for record in found.records if record.artifact and record.status == "done"]
    for name, reason in found.left_out.items():
        out.print(f"left out   {name}: {reason}", soft_wrap=True, markup=False)
    rows = [("report", written["html"]), ("records", f"{records.place} (etude runs)")]
    if kept:
        rows.append(("artifacts", f"{records.artifacts} ({len(kept)} kept)"))
    for heading, text in rows:
        out.print(f"{heading:<10} {text}", soft_wrap=True, markup=False)
