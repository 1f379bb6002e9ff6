"""Reports of a comparison: a terminal table, and a folder with a web page, a picture, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from etude.engine import table as terminal
from etude.engine.compare import Comparison
from etude.engine.rows import inputs_text
from etude.errors import InputError
from etude.files import new_file

if TYPE_CHECKING:
    from rich.table import Table


def table(comparison: Comparison, width: int = terminal.WIDTH) -> Table:
    """The comparison for a terminal of ``width`` columns; the best of each column in bold."""
    return terminal.table(comparison.rows(), comparison.metrics, title=heading(comparison), width=width)


def heading(comparison: Comparison) -> str:
    """What was compared on what, in a line."""
    given = inputs_text(comparison.inputs)
    return f"{comparison.title}: {given}" if given else comparison.title


def write(comparison: Comparison, folder: str | os.PathLike[str]) -> dict[str, Path]:
    """Write the report; files of an earlier one in the same folder are replaced, each as a whole.

    Parameters
    ----------
    comparison : what to report.
    folder : made if it is not there.

    Returns
    -------
    paths by kind: ``html`` (one self-contained page), ``png``, ``json`` (everything), ``csv`` (a row
    for each run). There is no ``png`` if no run has a quality and a cost to plot.

    Raises
    ------
    InputError : naming ``out``, if the folder cannot be written.
    """
    from etude.engine.page import page

    contents = {
        "html": page(comparison).encode(),
        "png": _picture(comparison),
        "json": (json.dumps(comparison.to_json(), indent=2, allow_nan=False, default=str) + "\n").encode(),
        "csv": _csv(comparison).encode(),
    }
    written = {}
    for kind, content in contents.items():
        if content is not None:
            name = "report.html" if kind == "html" else f"results.{kind}"
            written[kind] = _write(Path(folder).absolute() / name, content)
    return written


def _write(path: Path, content: bytes) -> Path:
    try:
        with new_file(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise InputError("out", f"cannot write {path}: {error.strerror or error}") from error
    return path


def _picture(comparison: Comparison) -> bytes | None:
    from etude.engine.picture import picture

    quality = [metric for metric in comparison.metrics if metric.axis == "quality"]
    costs = [metric for metric in comparison.metrics if metric.axis == "cost"]
    if not quality or not costs:
        return None
    rows = comparison.rows()
    apart = [m for m in costs if len({row.figures[m.name].mean for row in rows if m.name in row.figures}) > 1]
    time = [metric for metric in costs if metric.name == "wall_s"]
    panels = list(dict.fromkeys([*(apart or costs)[:1], *time]))
    return picture(rows, quality[0], panels, heading(comparison))


def _csv(comparison: Comparison) -> str:
    """One row for each run; parameters and metrics in columns of their own, under prefixed names."""
    metrics = [metric.name for metric in comparison.metrics]
    names = list(dict.fromkeys(name for record in comparison.records for name in record.parameters))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    columns = [*(f"parameters.{name}" for name in names), *(f"metrics.{name}" for name in metrics)]
    writer.writerow(["key", "label", "method", "seed", "status", *columns, "artifact", "error"])
    for row in comparison.rows():
        for record in sorted((*row.records, *row.failures), key=lambda record: record.seed):
            values: list[Any] = [record.key, row.label, record.method, record.seed, record.status]
            values += [record.parameters.get(name, "") for name in names]
            values += [record.metrics.get(name, "") for name in metrics]
            writer.writerow([*values, record.artifact or "", record.reason])
    return buffer.getvalue()
