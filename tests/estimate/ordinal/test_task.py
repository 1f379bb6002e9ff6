"""The task from a table to figures and files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from etude.errors import InputError
from etude.estimate.ordinal import LogisticSteps, Presto, ProportionalOdds, load
from etude.estimate.ordinal.designs import sparse_differences
from etude.estimate.ordinal.task import TASK, Inputs
from etude.estimate.tables import encode

NAMES = ("none", "little", "some", "much")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    drawn = sparse_differences(900, 3, intercepts=(0.0, 1.5, 3.0), seed=1)
    frame = pd.DataFrame(drawn.X, columns=["age", "dose", "time"])
    frame["sex"] = np.where(np.arange(900) % 2, "f", "m")
    frame["clinic"] = np.arange(900) // 10
    frame["stage"] = [NAMES[level] for level in drawn.y]
    frame.to_csv(tmp_path / "stages.csv", index=False)
    frame["stage"] = pd.Categorical(frame["stage"], NAMES, ordered=True)
    frame.to_parquet(tmp_path / "stages.parquet")
    return tmp_path / "stages.csv"


def test_from_a_table_to_figures_and_files(table: Path, tmp_path: Path) -> None:
    inputs = Inputs(data=str(table), target="stage", levels=NAMES, group="clinic")
    case = TASK.open(inputs)
    method = Presto(n_lams=5, cv=3)
    case.check(method)
    trial = case.trial(0)
    assert not set(trial.parts.groups) & set(case.outcomes.groups[trial.parts.held_X.index])
    trial.apply(method)
    figures = trial.score()
    assert figures.keys() < {metric.name for metric in TASK.metrics}
    assert "rare_mse" not in figures  # nobody knows the truth
    folder = tmp_path / "out"
    folder.mkdir()
    trial.save(folder)
    assert {"model.json", "held_out.csv", "calibration.png", "path.png"} <= {p.name for p in folder.iterdir()}
    rows = encode(pd.read_csv(table)[["age", "dose", "time", "sex"]][:5], like=load(folder).feature_names_in_)
    assert load(folder).predict_proba(rows) == pytest.approx(trial.model.predict_proba(rows))


def test_parquet_keeps_the_order_of_its_categories(table: Path) -> None:
    case = TASK.open(Inputs(data=str(table.with_suffix(".parquet")), target="stage", drop=("clinic",)))
    assert case.outcomes.names == NAMES


def test_drawn_data_is_judged_against_the_truth() -> None:
    case = TASK.open(Inputs(rows=600, features=4))
    assert case.fingerprints == {}
    for method in (LogisticSteps(), ProportionalOdds()):
        trial = case.trial(3)
        trial.apply(method)
        assert trial.score()["rare_mse"] > 0


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("data", {"data": "no-such-table.csv"}),
        ("data", {"data": "ordinal_and_quantile_tabular/no-such"}),
        ("target", {"target": None}),
        ("target", {"target": "stagee"}),
        ("levels", {"levels": None}),
        ("levels", {"levels": ("none", "little", "some")}),
        ("levels", {"levels": (*NAMES, "too much")}),
        ("group", {"group": "ward"}),
        ("drop", {"drop": ("ward",)}),
        ("drop", {"drop": ("age", "dose", "time", "sex", "clinic")}),
    ],
)
def test_what_cannot_be_used_is_named(table: Path, field: str, changes: dict[str, Any]) -> None:
    good: dict[str, Any] = {"data": str(table), "target": "stage", "levels": NAMES}
    with pytest.raises(InputError) as error:
        TASK.open(Inputs(**(good | changes)))
    assert error.value.field == field


def test_gaps_in_a_table_are_named(table: Path) -> None:
    frame = pd.read_csv(table)
    frame.loc[4, "dose"] = np.nan
    frame.to_csv(table, index=False)
    with pytest.raises(InputError, match="'dose' has empty cells"):
        TASK.open(Inputs(data=str(table), target="stage", levels=NAMES))
    frame["dose"] = 0.0
    frame.loc[4, "stage"] = None
    frame.to_csv(table, index=False)
    with pytest.raises(InputError, match="empty in 1 rows, first in row 4"):
        TASK.open(Inputs(data=str(table), target="stage", levels=NAMES))


def test_two_levels_are_refused_by_presto_alone(table: Path) -> None:
    frame = pd.read_csv(table)
    frame["stage"] = np.where(frame["stage"] == "none", 0, 1)
    frame.to_csv(table, index=False)
    case = TASK.open(Inputs(data=str(table), target="stage"))
    case.check(ProportionalOdds())
    with pytest.raises(InputError, match="two"):
        case.check(Presto())
