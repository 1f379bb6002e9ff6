"""``etude runs``: what the store holds."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.table import Table
from rich.text import Text

from etude.cli.flags import Json, Store, open_store, whole
from etude.cli.output import SHORT, add, console, print_json, settings_text, table

if TYPE_CHECKING:
    from etude.engine.record import Record


def runs(
    key: Annotated[
        str | None, Parameter(help="show this run; the first characters of its key are enough")
    ] = None,
    /,
    *,
    task: Annotated[str | None, Parameter(help="only runs of this task")] = None,
    method: Annotated[str | None, Parameter(help="only runs of this method")] = None,
    failed: Annotated[bool, Parameter(help="only runs that failed", negative=(), show_default=False)] = False,
    limit: Annotated[int, whole("how many to list at most, newest first", 1)] = 20,
    delete: Annotated[
        tuple[str, ...],
        Parameter(
            help="forget this run and remove what it made from the store; repeat for more",
            negative=(),
            show_default=False,
        ),
    ] = (),
    store: Store = None,
    json: Json = False,
) -> None:
    """List recorded runs, newest first; show one with its traceback; delete some."""
    records = open_store(store)
    if delete:
        doomed = [records.find(prefix) for prefix in delete]
        count = records.delete(record.key for record in doomed)
        print_json({"deleted": [record.key for record in doomed]}) if json else console().print(
            f"{count} deleted"
        )
    elif key is not None:
        record = records.find(key)
        print_json(record.to_json()) if json else _show(record)
    else:
        found = records.records(task=task, method=method, status="failed" if failed else None, limit=limit)
        if json:
            print_json([record.to_json() for record in found])
        elif found:
            console().print(_list(found))
        else:
            console().print("No such runs yet; `etude run METHOD` makes one.")


def _list(records: list[Record]) -> Table:
    rows = table(
        ("Run", {"no_wrap": True}),
        ("Method", {"no_wrap": True}),
        ("Settings", {"ratio": 1}),
        ("Seed", {"justify": "right"}),
        ("Outcome", {"ratio": 1}),
        ("Started", {"no_wrap": True}),
    )
    for record in records:
        started = datetime.fromisoformat(record.started).astimezone()
        add(
            rows,
            record.key[:SHORT],
            record.method,
            settings_text(record),
            str(record.seed),
            _outcome(record),
            f"{started:%d %b %H:%M}",
        )
    return rows


def _outcome(record: Record) -> str:
    if record.status == "failed":
        return f"failed: {record.reason[:80]}"
    name, value = next(iter(record.metrics.items()))
    return f"{name} {value:.4g}"


def _show(record: Record) -> None:
    out = console()
    facts = table(("", {"style": "dim", "no_wrap": True}), ("", {"ratio": 1}))
    listed = {
        "run": record.key,
        "status": record.status,
        "method": f"{record.method} {settings_text(record)}".strip(),
        "seed": record.seed,
        "inputs": "\n".join(f"{name}={value}" for name, value in record.inputs.items()),
        "fingerprints": "\n".join(f"{name} {value}" for name, value in record.fingerprints.items()),
        "metrics": "\n".join(f"{name} {value:.6g}" for name, value in record.metrics.items()),
        "artifact": record.artifact,
        "started": record.started,
        "environment": "\n".join(f"{name} {value}" for name, value in record.environment.items()),
    }
    for heading, value in listed.items():
        if value not in (None, ""):
            add(facts, heading, str(value))
    out.print(facts)
    if record.error:
        out.print(Text(f"\n{record.error.rstrip()}"), soft_wrap=True)
