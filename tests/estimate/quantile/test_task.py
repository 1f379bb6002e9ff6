"""The task from a table to figures and files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from etude.errors import InputError
from etude.estimate.quantile import Dqa, Qra, QuantileAverage, load, plot_weights
from etude.estimate.quantile.data import levels_of
from etude.estimate.quantile.task import TASK, Inputs

MODELS = ("linear", "neighbours")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(draw.uniform(size=(200, 2)), columns=["size", "age"])
    frame["kind"] = np.where(draw.random(200) < 0.5, "old", "new")
    frame["shop"] = np.arange(200) // 5
    frame["price"] = 3 * frame["size"] + (1 + frame["age"]) * draw.normal(size=200)
    frame.to_csv(tmp_path / "prices.csv", index=False)
    return tmp_path / "prices.csv"


def test_from_a_table_to_figures_and_files(table: Path, tmp_path: Path) -> None:
    inputs = Inputs(data=str(table), target="price", group="shop", models=MODELS, levels=9, folds=3)
    case = TASK.open(inputs)
    trial = case.trial(0)
    assert trial.parts.train.z.shape == (len(trial.parts.train.y), 2, 9)
    assert case.trial(0).parts is trial.parts  # base models are fitted once a seed
    trial.apply(Qra())
    figures = trial.score()
    assert figures.keys() == {metric.name for metric in TASK.metrics}
    folder = tmp_path / "out"
    folder.mkdir()
    trial.save(folder)
    assert {"aggregator.json", "held_out.csv", "reliability.png"} <= {p.name for p in folder.iterdir()}
    test = trial.parts.test
    kept = pd.read_csv(folder / "held_out.csv").filter(like="combined").to_numpy()
    assert load(folder).predict(test.z, test.X) == pytest.approx(kept, rel=1e-4)


def test_planted_models_need_no_fit_and_calibration_may_be_left_out() -> None:
    case = TASK.open(Inputs(data="planted", rows=120, levels=9, calibration=0.0))
    trial = case.trial(0)
    trial.apply(Dqa(searches=1, max_steps=100, resolution="medium"))
    assert "conformal_coverage" not in trial.score()
    for weights in (np.full((3, 2, 1), 0.5), np.full((3, 2, 9), 0.5), np.full((3, 2, 9, 9), 1 / 18)):
        assert len(plot_weights(weights, levels_of(9), ["a", "b"]).axes[0].lines) == 2


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("data", {"data": "no-such-table.csv"}),
        ("target", {"target": None}),
        ("target", {"target": "kind"}),
        ("target", {"target": "prize"}),
        ("group", {"group": "market"}),
        ("drop", {"drop": ("market",)}),
        ("models", {"models": ("linear", "forrest")}),
        ("models", {"models": ()}),
        ("levels", {"levels": 10}),
    ],
)
def test_what_cannot_be_used_is_named(table: Path, field: str, changes: dict[str, Any]) -> None:
    good: dict[str, Any] = {"data": str(table), "target": "price", "models": MODELS}
    with pytest.raises(InputError) as error:
        TASK.open(Inputs(**(good | changes)))
    assert error.value.field == field


def test_a_short_table_is_refused(table: Path) -> None:
    pd.read_csv(table)[:40].to_csv(table, index=False)
    with pytest.raises(InputError, match="50 or more"):
        TASK.open(Inputs(data=str(table), target="price"))


def test_another_method_sees_the_same_quantiles() -> None:
    case = TASK.open(Inputs(data="planted", rows=60, levels=9))
    one, other = case.trial(1), case.trial(1)
    one.apply(QuantileAverage())
    other.apply(QuantileAverage())
    assert one.score() == other.score()
