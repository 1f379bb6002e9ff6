"""The comparison as one self-contained web page: a table, an interactive plot, what failed, and where."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from etude.engine.compare import Comparison
from etude.engine.picture import COLOURS, axis_title
from etude.engine.rows import Row
from etude.engine.table import best, texts
from etude.method import parameters
from etude.task import Metric

if TYPE_CHECKING:
    from jinja2 import Template


def page(comparison: Comparison) -> str:
    """The report as HTML that needs nothing but itself: plotly.js and the figures are inside."""
    from plotly.offline import get_plotlyjs

    rows, metrics = comparison.rows(), comparison.metrics
    records, columns = comparison.records, [_column(rows, metric) for metric in metrics]
    return _template().render(
        task=comparison.title,
        methods=list(dict.fromkeys(row.method for row in rows)),
        inputs={n: v for n, v in parameters(comparison.inputs).items() if v is not None},
        seeds=comparison.seeds,
        metrics=metrics,
        rows=list(zip(rows, zip(*columns, strict=True) if columns else [()] * len(rows), strict=True)),
        failures=[(row.label, failure) for row in rows for failure in row.failures],
        environment=records[0].environment if records else {},
        runs=len(records),
        finished=max((record.started for record in records), default="")[:16].replace("T", " "),
        plot=_script_json(_plot(rows, metrics)),
        plotly=get_plotlyjs(),
    )


def _template() -> Template:
    from jinja2 import Environment, PackageLoader

    return Environment(loader=PackageLoader("etude.engine"), autoescape=True).get_template("report.html")


def _column(rows: list[Row], metric: Metric) -> list[dict[str, Any]]:
    """The cells of one metric, as shown and as sorted."""
    figures = [row.figures.get(metric.name) for row in rows]
    marked = best(figures, metric)
    return [
        {
            "mean": mean,
            "spread": spread,
            "sort": figure.mean if figure and not math.isnan(figure.mean) else "",
            "best": index in marked,
        }
        for index, (figure, (mean, spread)) in enumerate(zip(figures, texts(figures, metric), strict=True))
    ]


def _plot(rows: list[Row], metrics: list[Metric]) -> dict[str, Any]:
    """What the page's script draws: points in the order of the rows, axes by role."""
    methods = list(dict.fromkeys(row.method for row in rows))
    return {
        "metrics": {
            metric.name: {"title": axis_title(metric), "name": metric.title, "digits": metric.digits,
                          "unit": metric.unit, "axis": metric.axis}
            for metric in metrics
        },
        "series": [
            {
                "name": method,
                "colour": COLOURS[index % len(COLOURS)],
                "points": [_point(row) for row in rows if row.method == method and row.records],
            }
            for index, method in enumerate(methods)
        ],
    }  # fmt: skip


def _point(row: Row) -> dict[str, Any]:
    return {
        "label": row.label,
        "seeds": len(row.records),
        "mean": {name: _finite(figure.mean) for name, figure in row.figures.items()},
        "std": {name: _finite(figure.std) for name, figure in row.figures.items()},
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _script_json(value: Any) -> str:
    """JSON that is safe inside a script element, whatever the labels hold."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")
