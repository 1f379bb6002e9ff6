from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from etude_toy import TASK, ToyFail, ToyMean, ToyMedian
from etude_toy.task import ToyTask
from rich.console import Console
from rich.table import Table

from etude.engine.compare import Comparison, compare
from etude.engine.figures import Figure
from etude.engine.report import table, write
from etude.engine.rows import Row
from etude.engine.store import Store
from etude.engine.table import best
from etude.engine.table import table as rows_table
from etude.errors import InputError
from etude.task import Metric

BROKEN = "no <b>such</b> thing & </script>"


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    store = Store(tmp_path_factory.mktemp("store") / "runs.db")
    methods = [ToyMean(share=0.2), ToyMean(share=0.6), ToyMedian(), ToyFail(message=BROKEN, chance=0.5)]
    return compare(methods, TASK, TASK.inputs(), store=store, jobs=1, keep="none")


def text(found: Table, width: int = 100) -> str:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(found)
    return console.export_text()


class Page(HTMLParser):
    """What a browser would load from elsewhere, and the text of the cells."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.cells: list[str] = []
        self.scripts: list[str] = []
        self._tags: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.loads += [v for k in ("src", "href") if (v := values.get(k)) and not v.startswith("data:")]
        self._tags.append(tag)
        if tag == "td":
            self.cells.append("")
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        while self._tags and self._tags.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "script" in self._tags:
            self.scripts[-1] += data
        elif "td" in self._tags:
            self.cells[-1] += data


def test_the_page_needs_nothing_but_itself(comparison: Comparison, tmp_path: Path) -> None:
    html = write(comparison, tmp_path)["html"].read_text()
    page = Page(html)
    assert page.loads == []
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert any("Plotly" in script and len(script) > 1e6 for script in page.scripts)


def test_the_page_says_what_was_compared_and_what_failed(comparison: Comparison, tmp_path: Path) -> None:
    html = write(comparison, tmp_path)["html"].read_text()
    page = Page(html)
    assert "<title>Guess a mean: toy-mean, toy-median, toy-fail</title>" in html
    assert "<dt>size</dt><dd>40</dd>" in html
    assert "toy-mean share=0.2" in page.cells
    row = comparison.rows()[0]
    assert f"{row.figures['error'].mean:.3f} ± {row.figures['error'].std:.3f}" in page.cells
    assert "2, 1 failed" in page.cells
    assert "RuntimeError: no &lt;b&gt;such&lt;/b&gt; thing &amp; &lt;/script&gt;" in html
    data = json.loads(next(script for script in page.scripts if script.startswith("{")))
    assert [series["name"] for series in data["series"]] == ["toy-mean", "toy-median", "toy-fail"]
    assert [len(series["points"]) for series in data["series"]] == [2, 1, 1]
    assert data["series"][0]["points"][0]["mean"]["error"] == pytest.approx(row.figures["error"].mean)
    assert data["metrics"]["error"]["axis"] == "quality"
    assert comparison.records[0].environment["cpu"] in html


def test_tables_for_programs(comparison: Comparison, tmp_path: Path) -> None:
    written = write(comparison, tmp_path / "new" / "folder")
    found = json.loads(written["json"].read_text())
    assert len(found["runs"]) == 12
    assert [row["label"] for row in found["rows"]] == [row.label for row in comparison.rows()]
    with written["csv"].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    assert [(row["method"], row["seed"], row["parameters.share"]) for row in rows[:2]] == [
        ("toy-mean", "0", "0.2"),
        ("toy-mean", "1", "0.2"),
    ]
    assert float(rows[0]["metrics.error"]) == comparison.records[0].metrics["error"]
    (failed,) = (row for row in rows if row["status"] == "failed")
    assert failed["error"] == f"RuntimeError: {BROKEN}"


def test_the_picture_is_a_picture(comparison: Comparison, tmp_path: Path) -> None:
    png = write(comparison, tmp_path)["png"].read_bytes()
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = (int.from_bytes(png[i : i + 4], "big") for i in (16, 20))
    assert (width, height) == (1560, 660)


def test_a_report_replaces_an_earlier_one_and_leaves_nothing_else(
    comparison: Comparison, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    write(comparison, tmp_path)
    written = write(comparison, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir() ) == [
        "notes.txt", "report.html", "results.csv", "results.json", "results.png"
    ]  # fmt: skip
    assert written.keys() == {"html", "png", "json", "csv"}


def test_a_folder_that_cannot_be_written_is_the_users_to_mend(comparison: Comparison, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="out: cannot write"):
        write(comparison, tmp_path / "file" / "report")


@pytest.mark.parametrize("metrics", [(), ToyTask.metrics[1:], ToyTask.metrics[:1]])
def test_tasks_without_quality_or_cost_are_reported_too(store: Store, tmp_path: Path, metrics: Any) -> None:
    task = ToyTask(metrics=metrics)
    found = compare([ToyMean(), ToyMedian()], task, task.inputs(), seeds=(0,), store=store, jobs=1)
    written = write(found, tmp_path / "report")
    assert ("png" in written) == any(metric.axis == "quality" for metric in metrics)
    assert "toy-median" in text(table(found))


def test_nothing_but_failures_is_reported_too(store: Store, tmp_path: Path) -> None:
    found = compare([ToyFail()], TASK, TASK.inputs(), store=store, jobs=1)
    written = write(found, tmp_path / "report")
    assert written.keys() == {"html", "json", "csv"}
    assert "3 failed" in text(table(found))


def row(label: str, **figures: Figure) -> Row:
    return Row(label, label.split()[0], {}, figures, (), ())


def test_the_terminal_table(comparison: Comparison) -> None:
    lines = text(table(comparison)).splitlines()
    assert lines[0].strip() == "Guess a mean: numbers primes, size 40"
    assert max(map(len, lines)) <= 100
    (line,) = (line for line in lines if line.startswith("toy-mean share=0.2"))
    figures = comparison.rows()[0].figures
    assert f"{figures['error'].mean:.3f} ± {figures['error'].std:.3f}" in line
    assert any(re.search(r"toy-fail.* 2, 1 failed ", line) for line in lines)


def test_a_wide_table_leaves_out_what_matters_least_and_says_so() -> None:
    names = [f"figure-{letter}" for letter in "abcdefghijkl"]
    metrics = [Metric(name, name, "lower", axis="cost" if n % 2 else None) for n, name in enumerate(names)]
    metrics.append(Metric("ppl", "perplexity", "lower", axis="quality"))
    figures = {metric.name: Figure(1234.5 + n, 6.7, 3) for n, metric in enumerate(metrics)}
    rows = [row(f"method-{n} ratio=0.{n}", **figures) for n in range(3)]
    shown = text(rows_table(rows, metrics, first=["figure-l"]))
    assert max(map(len, shown.splitlines())) <= 100
    heading, note = shown.split("method-0")[0], shown[shown.index("not shown") :]
    assert "perplexity" in heading
    assert "figure-l" in heading
    assert all((name in heading) != (name in note) for name in names)


def test_the_best_is_the_best_as_it_is_shown() -> None:
    lower, higher = Metric("x", "x", "lower"), Metric("x", "x", "higher")
    figures = [Figure(2.0, 0, 1), Figure(1.001, 0, 1), Figure(1.004, 0, 1), None, Figure(float("nan"), 0, 1)]
    assert best(figures, lower) == {1, 2}
    assert best(figures, higher) == {0}
    assert best(figures, Metric("x", "x", None)) == set()
    assert best([Figure(1.0, 0, 1), Figure(1.0, 0, 1)], lower) == set()
    assert best([None, None], lower) == set()
