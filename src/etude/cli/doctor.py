"""``etude doctor``: what is here, what is missing, and how to get it."""

from __future__ import annotations

import os
import re
from functools import partial
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from etude import catalog
from etude.cli.flags import Json, Store, open_store
from etude.cli.output import add, console, print_json, table
from etude.errors import InputError


def doctor(*, store: Store = None, json: Json = False) -> None:
    """Tell what is installed, what is missing and how to get it."""
    from etude.engine.environment import environment

    report = {
        "environment": environment() | {"memory_gb": _memory()},
        "models": _models(),
        "extras": _extras(),
        "data": _data(),
        "store": _store(store),
        "plugins": _plugins(),
    }
    print_json(report) if json else console().print(_table(report))


def _models() -> dict[str, Any]:
    from etude.models import BUILT_IN

    return {name: _attempt(find) for name, find in BUILT_IN.items()}


def _attempt(find: Any) -> dict[str, Any]:
    """Where something is, or why it is not and what to do."""
    try:
        path = Path(find())
    except InputError as error:
        return {"available": False, "hint": error.message}
    return {"available": path.exists(), "path": str(path)}


def _extras() -> dict[str, Any]:
    """Etude's extras, and which of their packages are missing."""
    try:
        requirements = requires("etude") or []
    except PackageNotFoundError:  # run from a checkout that was never installed
        return {}
    wanted: dict[str, list[str]] = {}
    for requirement in requirements:
        match = re.match(r"""(?P<package>[\w.-]+).*extra == ['"](?P<extra>[\w-]+)['"]""", requirement)
        if match and match["package"] != "etude":
            wanted.setdefault(match["extra"], []).append(match["package"])
    return {extra: _extra(extra, packages) for extra, packages in sorted(wanted.items())}


def _extra(name: str, packages: list[str]) -> dict[str, Any]:
    missing = [package for package in packages if not _has(package)]
    hint = {"hint": f'pip install "etude[{name}]" (lacks {", ".join(missing)})'} if missing else {}
    return {"available": not missing, "missing": missing, **hint}


def _has(package: str) -> bool:
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False


def _data() -> dict[str, Any]:
    from etude.data.sets import SETS, find_set

    folder = os.environ.get("ETUDE_DATA")
    return {
        "ETUDE_DATA": folder,
        "available": bool(folder) and Path(str(folder)).is_dir(),
        "sets": {name: _attempt(partial(find_set, name)) for name in SETS},
        "hub": os.environ.get("HF_HUB_OFFLINE", "0") in ("", "0"),
    }


def _store(url: str | None) -> dict[str, Any]:
    try:
        records = open_store(url)
        runs = records.records()
    except InputError as error:
        return {"available": False, "hint": error.message}
    failed = sum(record.status == "failed" for record in runs)
    return {
        "available": True,
        "place": records.place,
        "runs": len(runs),
        "failed": failed,
        "artifacts": str(records.artifacts),
    }


def _plugins() -> dict[str, Any]:
    try:
        return {entry.name: {"available": True, "module": entry.value} for entry in catalog.plugins()}
    except InputError as error:
        return {error.field: {"available": False, "hint": error.message}}


def _memory() -> float | None:
    """Main memory in 10^9 bytes, where the system tells."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (AttributeError, ValueError, OSError):
        return None


def _table(report: dict[str, Any]) -> Table:
    rows = table("", ("", {"style": "dim", "no_wrap": True}), ("", {"ratio": 1}))

    def tell(heading: str, text: str, available: bool | None = None) -> None:
        mark = {None: Text(), True: Text("✓", style="green"), False: Text("✗", style="yellow")}[available]
        add(rows, mark, heading, text)

    for heading, value in report["environment"].items():
        tell(heading.replace("_gb", " GB"), str(value))
    for name, found in report["models"].items():
        tell(f"model {name}", found.get("hint") or found["path"], found["available"])
    for name, found in report["extras"].items():
        tell(f"extra {name}", found.get("hint") or "installed", found["available"])
    data = report["data"]
    for mark, hint in ((True, ""), (False, ": put them into $ETUDE_DATA (--json tells what and from where)")):
        if names := [name for name, found in data["sets"].items() if found["available"] is mark]:
            tell("data sets", ", ".join(names) + hint, mark)
    tell("$ETUDE_DATA", data["ETUDE_DATA"] or "not set: only what is built in is found", data["available"])
    tell(
        "hub",
        "asked for what is not here" if data["hub"] else "not asked: HF_HUB_OFFLINE is set",
        data["hub"],
    )
    store = report["store"]
    text = store.get("hint") or f"{store['place']}: {store['runs']} runs, {store['failed']} failed"
    tell("store", text, store["available"])
    for name, found in report["plugins"].items():
        tell(f"plug-in {name}", found.get("hint") or found["module"], found["available"])
    return rows
