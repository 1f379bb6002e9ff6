"""``etude run``: one method, with the fields of the method and of its task's inputs as flags."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from json import loads
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter
from rich.text import Text

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
    open_store,
    whole,
    with_flags,
)
from etude.cli.output import SHORT, add, console, print_json, settings_text, table
from etude.fields import summary
from etude.progress import shown
from etude.task import REPORT

if TYPE_CHECKING:
    from etude.engine.record import Record


def command(tokens: Sequence[str]) -> Callable[..., None]:
    """``etude run`` with the flags of the method that ``tokens`` name."""
    name = method_in(tokens)
    if name is None:
        return with_flags(run, [], f"{run.__doc__}\n\n{known_methods()}")
    cls: Any = catalog.method(name)
    task = catalog.task(cls.task)
    api.split(cls, task, {})
    own, inputs = flags(cls, Group(f"Settings of {name}", sort_key=1)), flags(task.inputs, INPUTS)
    return with_flags(run, own + inputs, f"{summary(cls)}\n\n{_paper(cls)}")


def run(
    method: Annotated[str, Parameter(help="name of a method; its flags: `etude run METHOD --help`")],
    /,
    *,
    seed: Annotated[int, whole("seed of all random numbers", 0, OPTIONS)] = 0,
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
            key = failure.record.key[:SHORT]
            raise Failure(f"RunFailed: {failure}; `etude runs {key}` shows the traceback") from failure
    print_json(record.to_json()) if json else _show(record)


def _paper(cls: Any) -> str:
    if cls.paper is None:
        return "A baseline."
    card = catalog.paper(cls.paper)
    return f"{card.title} ({card.venue}, arXiv:{card.arxiv})."


def _show(record: Record) -> None:
    from etude.engine.rows import metrics_of
    from etude.engine.table import show

    out = console()
    out.print(Text(f"{record.method} {settings_text(record)} seed={record.seed}", style="bold"))
    figures = table("", ("", {"justify": "right"}), "")
    for metric in metrics_of(catalog.task(record.task), [record]):
        add(figures, metric.title, show(record.metrics[metric.name], metric.digits), metric.unit)
    out.print(figures)
    if record.artifact is not None:
        _show_report(Path(record.artifact) / REPORT)
    out.print(f"artifact  {record.artifact}", soft_wrap=True, markup=False)
    out.print(f"record    etude runs {record.key[:SHORT]}")


def _show_report(path: Path) -> None:
    """The rows that the task has written beside the artifact, if it has."""
    if not path.is_file():
        return
    found = loads(path.read_text(encoding="utf-8"))
    rows = table(*found[0])
    for row in found:
        add(rows, *("" if value is None else str(value) for value in row.values()))
    console().print(rows)
