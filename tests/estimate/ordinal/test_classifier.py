"""Ordinal classifiers as scikit-learn and pandas users meet them, and their errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.utils.estimator_checks import check_estimator

from etude.errors import InputError
from etude.estimate.ordinal import (
    LogisticStepsClassifier,
    OrdinalNetClassifier,
    PrestoClassifier,
    ProportionalOddsClassifier,
    load,
    plot_calibration,
    plot_path,
    save,
)
from etude.estimate.ordinal.designs import dense_differences, equal_weights, sparse_differences
from etude.estimate.ordinal.scores import calibration_error, calibration_table, scores
from etude.estimate.ordinal.validation import brier, folds

DRAWN = sparse_differences(800, 3, intercepts=(0.0, 1.5, 3.0), seed=1)
NAMES = ["none", "little", "some", "much"]


def named() -> tuple[pd.DataFrame, pd.Series]:
    X = pd.DataFrame(DRAWN.X, columns=["age", "dose", "time"])
    return X, pd.Series(pd.Categorical([NAMES[level] for level in DRAWN.y], NAMES, ordered=True))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "model", [ProportionalOddsClassifier(), LogisticStepsClassifier(), PrestoClassifier(n_lams=3, cv=2)]
)
def test_scikit_learns_own_checks(model: Any) -> None:
    check_estimator(model)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("model", [PrestoClassifier(), OrdinalNetClassifier()])
def test_scikit_learns_own_checks_with_defaults(model: Any) -> None:
    check_estimator(model)


def test_the_order_of_categories_and_the_names_of_columns_are_kept() -> None:
    X, y = named()
    model = PrestoClassifier(lam=0.01).fit(X, y)
    assert model.classes_.tolist() == NAMES
    assert model.feature_names_in_.tolist() == ["age", "dose", "time"]
    assert model.coef_ == pytest.approx(PrestoClassifier(lam=0.01).fit(DRAWN.X, DRAWN.y).coef_)
    for feature, below, above, change in model.changes():
        j, k = list(X.columns).index(feature), NAMES.index(above) - 1
        assert (below, change) == (NAMES[k], pytest.approx(model.coef_[j, k] - model.coef_[j, k - 1]))


def test_parallel_lines_have_no_changes() -> None:
    drawn = equal_weights(800, 3, intercepts=(0.0, 1.5, 3.0), seed=0)
    assert PrestoClassifier(lam=0.05).fit(drawn.X, drawn.y).changes() == []


def test_the_chosen_penalty_is_the_largest_with_the_least_brier_score() -> None:
    model = PrestoClassifier(n_lams=8, random_state=0).fit(DRAWN.X, DRAWN.y)
    mean = model.cv_brier_.mean(axis=1)
    assert model.cv_brier_.shape == (8, 5)
    assert model.lam_ == model.lams_[mean == mean.min()].max()
    assert model.coef_ == pytest.approx(model.path_coef_[model.lams_ == model.lam_][0])


@pytest.mark.parametrize(
    ("field", "settings", "y"),
    [
        ("lam", {"lam": -1.0}, None),
        ("cv", {"cv": 1}, None),
        ("n_lams", {"n_lams": 0}, None),
        ("l1_ratio", {"l1_ratio": 1.5}, None),
        ("lam_min_ratio", {"lam_min_ratio": 1.0}, None),
        ("levels", {"levels": [0, 1, 2]}, None),
        ("levels", {"levels": [0, 1, 1, 2, 3]}, None),
        ("y", {"levels": [0, 1, 2, 3, 4]}, None),
        ("y", {}, np.zeros(800)),
        ("y", {}, np.array([3] + [0, 1] * 399 + [1])),
    ],
)
def test_what_cannot_be_used_is_named(field: str, settings: dict[str, Any], y: np.ndarray | None) -> None:
    with pytest.raises(InputError) as error:
        PrestoClassifier(**settings).fit(DRAWN.X, DRAWN.y if y is None else y)
    assert error.value.field == field


def test_gaps_are_named() -> None:
    y = DRAWN.y.astype(float)
    y[0] = np.nan
    with pytest.raises(ValueError, match="Input y contains NaN"):
        PrestoClassifier().fit(DRAWN.X, y)
    with pytest.raises(ValueError, match="Input X contains NaN"):
        PrestoClassifier().fit(np.where(DRAWN.X > 0.99, np.nan, DRAWN.X), DRAWN.y)


def test_folds_keep_every_level_on_both_sides_and_groups_together() -> None:
    y = np.array([0] * 50 + [1] * 50 + [2] * 3)
    splits = folds(y, None, 5, 0)
    assert len(splits) == 3  # the rarest level has three rows
    assert all(set(y[part]) == {0, 1, 2} for split in splits for part in split)
    groups = np.arange(len(y)) // 3
    for train, held in folds(y, groups, 5, 0):
        assert not set(groups[train]) & set(groups[held])
    with pytest.raises(InputError, match="one group"):
        folds(y, np.where(y == 2, 99, groups), 5, 0)


def test_brier_and_calibration() -> None:
    draw = np.random.default_rng(0)
    probabilities = draw.dirichlet(np.ones(3), size=200)
    y = draw.integers(3, size=200)
    assert brier(y, probabilities) == pytest.approx(((np.eye(3)[y] - probabilities) ** 2).sum(axis=1).mean())
    table = calibration_table(y == 2, probabilities[:, 2])
    assert table.shape == (10, 3) and table[:, 2].sum() == 200
    assert calibration_error(y == 2, np.full(200, (y == 2).mean()), bins=1) == pytest.approx(0, abs=1e-20)
    assert set(scores(y, probabilities)) >= {"brier", "log_loss", "rare_calibration", "rare_precision"}


def test_drawn_designs_are_what_they_say() -> None:
    sparse, dense = sparse_differences(seed=0), dense_differences(seed=0)
    assert set(np.abs(np.diff(sparse.coef, axis=1)).ravel()) == {0.0, 0.5}
    assert np.abs(np.diff(dense.coef, axis=1)).max() <= 0.5
    for drawn in (sparse, dense, equal_weights(seed=0)):
        assert drawn.probabilities.sum(axis=1) == pytest.approx(1)
        assert (drawn.probabilities >= 0).all() and len(set(drawn.y.tolist())) == 4


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    X, y = named()
    model = PrestoClassifier(n_lams=4, cv=2, random_state=0).fit(X, y)
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.get_params() == model.get_params()
    assert (again.predict(X) == model.predict(X)).all()
    assert again.path_coef_ == pytest.approx(model.path_coef_)
    (tmp_path / "model" / "model.json").write_text('{"class": "os.system"}')
    with pytest.raises(InputError, match="no ordinal classifier"):
        load(tmp_path / "model")


def test_pictures_have_a_panel_for_every_step() -> None:
    model = PrestoClassifier(n_lams=4, cv=2, random_state=0).fit(DRAWN.X, DRAWN.y)
    assert len(plot_path(model).axes) == 4  # three boundaries and the cross-validation
    predicted = model.predict_proba(DRAWN.X)[:, -1]
    assert len(plot_calibration(DRAWN.y == 3, {"presto": predicted}).axes[0].lines) == 2
