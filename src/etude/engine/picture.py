"""The comparison as a picture: quality against the first cost, and against time."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from etude.engine.rows import Row
from etude.task import Metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation

COLOURS = ("#2563ae", "#d1495b", "#2e8b6f", "#c77d0a", "#7a5195", "#4c6a7a", "#b0479b", "#7d8a1e")
"""One a method, in the order of the rows."""

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_PLACES = ((7, 4), (7, -11), (-7, 4), (-7, -11), (0, 9), (0, -16), (16, 14), (-16, 14), (16, -22), (-16, -22))
"""Where a label may stand around its point, in typographical points, most wanted first."""


def picture(rows: Sequence[Row], quality: Metric, costs: Sequence[Metric], title: str) -> bytes:
    """A PNG with one panel for each cost: labelled points, spread over seeds as error bars."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2 * len(costs), 4.4), dpi=150, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    panels = figure.subplots(1, len(costs), squeeze=False, sharey=True)[0]
    labels = [_panel(axes, rows, cost, quality) for axes, cost in zip(panels, costs, strict=True)]
    panels[0].set_ylabel(axis_title(quality))
    if len({row.method for row in rows}) < len(rows):
        shared = short_labels(rows)[1]
        by = f"labels: {shared}" if shared else None
        panels[-1].legend(title=by, frameon=False, fontsize=8, title_fontsize=8, handlelength=1.2)
    figure.canvas.draw()  # only now are points where they will be
    for axes, names in zip(panels, labels, strict=True):
        _spread_labels(axes, names)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def axis_title(metric: Metric) -> str:
    """The metric, its unit, and which end of the axis is the good one.

    Examples
    --------
    >>> axis_title(Metric("mb", "size", "lower", unit="MB"))
    'size (MB), lower is better'
    """
    unit = f" ({metric.unit})" if metric.unit else ""
    return f"{metric.title}{unit}" + (f", {metric.better} is better" if metric.better else "")


def wide(values: Sequence[float], digits: int) -> bool:
    """Whether values ask for a logarithmic axis: apart by more than a factor of 20, and none shown as 0.

    Examples
    --------
    >>> wide([1.0, 30.0], 2), wide([1.0, 3.0], 2), wide([0.001, 30.0], 2)
    (True, False, False)
    """
    finite = [value for value in values if math.isfinite(value)]
    return bool(finite) and min(finite) >= 10**-digits and max(finite) > 20 * min(finite)


def short_labels(rows: Sequence[Row]) -> tuple[list[str], str]:
    """What tells each point from others of its colour, and what that is if it is one parameter for all.

    A method that has but one row is told by its name.
    """
    methods = [row.method for row in rows]
    settings = [row.label.removeprefix(row.method).split() for row in rows]
    several = [index for index, method in enumerate(methods) if methods.count(method) > 1]
    names = {part.partition("=")[0] for index in several for part in settings[index]}
    shared = names.pop() if len(names) == 1 else ""
    labels = [
        row.label if methods.count(row.method) == 1 else " ".join(setting).removeprefix(f"{shared}=")
        for row, setting in zip(rows, settings, strict=True)
    ]
    return labels, shared


@dataclass(frozen=True)
class _Point:
    label: str
    method: str
    at: tuple[float, float]
    spread: tuple[float, float]


def _points(rows: Sequence[Row], cost: Metric, quality: Metric) -> Iterator[_Point]:
    for label, row in zip(short_labels(rows)[0], rows, strict=True):
        x, y = row.figures.get(cost.name), row.figures.get(quality.name)
        if x and y and math.isfinite(x.mean) and math.isfinite(y.mean):
            spread = tuple(0.0 if math.isnan(figure.std) else figure.std for figure in (x, y))
            yield _Point(label, row.method, (x.mean, y.mean), (spread[0], spread[1]))


def _panel(axes: Axes, rows: Sequence[Row], cost: Metric, quality: Metric) -> list[Annotation]:
    """Draw one panel; returns the labels, still on top of their points."""
    points = list(_points(rows, cost, quality))
    labels: list[Annotation] = []
    for number, method in enumerate(dict.fromkeys(row.method for row in rows)):
        mine = [point for point in points if point.method == method]
        colour = COLOURS[number % len(COLOURS)]
        axes.errorbar(
            [point.at[0] for point in mine],
            [point.at[1] for point in mine],
            xerr=[point.spread[0] for point in mine],
            yerr=[point.spread[1] for point in mine],
            color=colour,
            marker=_MARKERS[number % len(_MARKERS)],
            markersize=6,
            linewidth=1,
            capsize=2.5,
            label=method,
        )
        labels += [axes.annotate(p.label, p.at, (0, 0), textcoords="offset points", color=colour, fontsize=8)
                   for p in mine]  # fmt: skip
    _style(axes, cost, quality, points)
    return labels


def _style(axes: Axes, cost: Metric, quality: Metric, points: Sequence[_Point]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.margins(0.15)
    axes.set_xlabel(axis_title(cost))
    for axis, metric, values in (
        (axes.xaxis, cost, [point.at[0] for point in points]),
        (axes.yaxis, quality, [point.at[1] for point in points]),
    ):
        if wide(values, metric.digits):
            (axes.set_xscale if axis is axes.xaxis else axes.set_yscale)("log")
            axis.set_major_locator(LogLocator(subs=(1, 2, 5) if max(values) < 1000 * min(values) else (1,)))
            axis.set_minor_formatter(NullFormatter())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _spread_labels(axes: Axes, labels: Sequence[Annotation]) -> None:
    """Put each label where it covers least of the points and of the labels placed before it."""
    from matplotlib.transforms import Bbox

    taken = []
    for label in labels:
        x, y = axes.transData.transform(label.xy)
        taken.append(Bbox.from_bounds(x - 8, y - 8, 16, 16))
    for label in labels:
        tried = []
        for rank, (dx, dy) in enumerate(_PLACES):
            label.set_position((dx, dy))
            label.set_horizontalalignment("left" if dx > 0 else "right" if dx < 0 else "center")
            box = label.get_window_extent()
            outside = not (axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1)
            tried.append((sum(box.overlaps(other) for other in taken) + 2 * outside, rank))
        dx, dy = _PLACES[min(tried)[1]]
        label.set_position((dx, dy))
        label.set_horizontalalignment("left" if dx > 0 else "right" if dx < 0 else "center")
        taken.append(label.get_window_extent())
