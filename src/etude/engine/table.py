"""Rows as a terminal table."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from etude.engine.figures import Figure
from etude.engine.measure import MEASURES
from etude.engine.rows import Row
from etude.task import Metric

WIDTH = 80
"""Columns of a terminal that a table fits unless told of a wider one."""

_GAP = 2  # one of padding, one of the box


def table(
    rows: Sequence[Row],
    metrics: Sequence[Metric],
    title: str = "",
    first: Iterable[str] = (),
    width: int = WIDTH,
) -> Table:
    """Rows against metrics: mean and spread over seeds, the best of each column in bold.

    Columns that do not fit are left out, those of quality and time last; the caption names them.

    Parameters
    ----------
    rows, metrics : what to show, in this order.
    title : heading.
    first : names of metrics that are shown whatever else there is room for.
    width : columns of the terminal.
    """
    columns = [_Column.of(metric, rows) for metric in metrics]
    seeds = [_seeds(row) for row in rows]
    alike = len(set(seeds)) == 1 and not rows[0].failures  # then the title says it, and a column is free
    if alike:
        title = f"{title}, {seeds[0]} seed{'s' * (seeds[0] != '1')}".removeprefix(", ")
    labels = min(max(len(row.label) for row in rows), 2 * width // 5)  # longer ones are broken
    room = width - labels - _GAP - (0 if alike else max(map(len, ["seeds", *seeds])) + _GAP)
    shown = _fitting(columns, room, set(first))
    hidden = [column.metric.title for column in columns if column not in shown]
    made = Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        caption=f"not shown for want of room: {', '.join(hidden)}" if hidden else None,
        caption_justify="left",
        caption_style="dim",
        box=SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    made.add_column("", width=labels, overflow="fold")
    if not alike:
        made.add_column("seeds", justify="right", no_wrap=True)
    for column, width in zip(shown, _widths(shown, room), strict=True):
        heading = "\n".join([*textwrap.wrap(column.metric.title, width), column.metric.unit])
        made.add_column(heading.rstrip("\n"), justify="right", width=width, no_wrap=True)
    for index, row in enumerate(rows):
        count = f"[red]{seeds[index]}[/]" if row.failures else seeds[index]
        figures = [column.cell(index) for column in shown]
        made.add_row(escape(row.label), *([] if alike else [count]), *figures)
    return made


def show(value: float, digits: int) -> str:
    """A figure for people.

    Examples
    --------
    >>> show(1234567.0, 0), show(3.14159, 2), show(1234567.0, 2), show(float("nan"), 2)
    ('1,234,567', '3.14', '1.23e+06', '–')
    """
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return f"{value:.2e}" if digits and abs(value) >= 1e5 else f"{value:,.{digits}f}"


def best(figures: Sequence[Figure | None], metric: Metric) -> set[int]:
    """Indices of the best means, as they are shown; none if all are the same or no direction is better."""
    means = {i: show(f.mean, metric.digits) for i, f in enumerate(figures) if f and not math.isnan(f.mean)}
    if metric.better is None or len(set(means.values())) < 2:
        return set()
    extreme = (min if metric.better == "lower" else max)(means, key=lambda i: figures[i].mean)  # type: ignore[union-attr]
    return {i for i, text in means.items() if text == means[extreme]}


def texts(figures: Sequence[Figure | None], metric: Metric) -> list[tuple[str, str]]:
    """Mean and spread of each figure; no spread in a column where no seed makes a visible difference.

    Examples
    --------
    >>> texts([Figure(1.25, 0.5, 3), Figure(2.0, float("nan"), 1), None], Metric("x", "x", None, digits=1))
    [('1.2', '0.5'), ('2.0', ''), ('–', '')]
    """
    means = [show(figure.mean, metric.digits) if figure else "–" for figure in figures]
    spreads = [show(figure.std, metric.digits) if figure else "–" for figure in figures]
    if set(spreads) <= {"–", show(0.0, metric.digits)}:
        return [(mean, "") for mean in means]
    return [(mean, "" if std == "–" else std) for mean, std in zip(means, spreads, strict=True)]


@dataclass(frozen=True)
class _Column:
    metric: Metric
    cells: list[str]
    best: set[int]

    @classmethod
    def of(cls, metric: Metric, rows: Sequence[Row]) -> _Column:
        figures = [row.figures.get(metric.name) for row in rows]
        cells = [f"{mean} ± {std}" if std else mean for mean, std in texts(figures, metric)]
        return cls(metric, cells, best(figures, metric))

    @property
    def width(self) -> int:
        """The least that it can do with, its heading broken between words."""
        return max(map(len, [*self.metric.title.split(), self.metric.unit, *self.cells]))

    def cell(self, index: int) -> str:
        return f"[bold]{self.cells[index]}[/]" if index in self.best else self.cells[index]


def _seeds(row: Row) -> str:
    failed = f"{len(row.failures)} failed"
    if not row.failures:
        return str(len(row.records))
    return f"{len(row.records)}, {failed}" if row.records else failed


def _fitting(columns: Sequence[_Column], room: int, first: set[str]) -> list[_Column]:
    """The columns that fit, in their order: room goes to quality, then time, then what sets rows apart."""
    late = [metric.name for metric in MEASURES[1:]]

    def importance(column: _Column) -> tuple[int, int]:
        name, axis = column.metric.name, column.metric.axis
        if name in first:
            return 0, 0
        if axis == "quality" or name == MEASURES[0].name:
            return 1, 0 if axis == "quality" else 1
        return (3, late.index(name)) if name in late else (2, int(len(set(column.cells)) == 1))

    shown: list[_Column] = []
    for column in sorted(columns, key=importance):
        if column.width + _GAP <= room:
            room -= column.width + _GAP
            shown.append(column)
    return [column for column in columns if column in shown]


def _widths(columns: Sequence[_Column], room: int) -> list[int]:
    """Of each column, wide enough for its heading on one line while there is room."""
    room -= sum(column.width + _GAP for column in columns)
    widths = []
    for column in columns:
        more = max(0, len(column.metric.title) - column.width)
        widths.append(column.width + (more if more <= room else 0))
        room -= more if more <= room else 0
    return widths
