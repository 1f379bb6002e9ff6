"""What commands print: rich tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from etude.engine.record import Record

SHORT = 8
"""Characters of a run's key that are shown; enough to name it."""


def console() -> Console:
    """stdout, as wide as the terminal, 80 columns where there is none."""
    return Console(highlight=False, emoji=False)


def print_json(value: Any) -> None:
    """Print one JSON document and nothing else."""
    json.dump(value, sys.stdout, indent=2, ensure_ascii=False, allow_nan=False, default=str)
    sys.stdout.write("\n")


def table(*columns: str | tuple[str, dict[str, Any]]) -> Table:
    """An empty table without frames; a column is its heading, or heading and options of ``add_column``."""
    headed = any(column if isinstance(column, str) else column[0] for column in columns)
    made = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=headed)
    for column in columns:
        heading, options = (column, {}) if isinstance(column, str) else column
        made.add_column(heading, header_style="bold", overflow="fold", **options)
    return made


def add(rows: Table, *cells: str | Text) -> None:
    """Add a row whose text is shown as it is: square brackets are no markup."""
    rows.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in cells))


def settings_text(record: Record) -> str:
    """A run's parameters on one line."""
    pairs = record.parameters.items()
    return " ".join(
        f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in pairs
    )
