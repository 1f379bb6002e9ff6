"""From rows to quantiles: base models of all kinds, folds without leaks, the whole estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from quantile_forest import RandomForestQuantileRegressor
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, QuantileRegressor
from sklearn.utils.estimator_checks import check_estimator

from etude.errors import InputError
from etude.estimate.quantile import (
    BestModel,
    Dqa,
    GaussianNetwork,
    NeighbourQuantiles,
    QuantileAggregator,
    QuantileAverage,
    QuantileNetwork,
)
from etude.estimate.quantile.bases import at_levels
from etude.estimate.quantile.folds import assign, out_of_fold, without_pairs

LEVELS = np.array([0.1, 0.5, 0.9])
CHEAP: dict[str, Any] = {"models": ["linear", "neighbours"], "levels": [0.1, 0.5, 0.9]}


def rows(n: int = 200, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    X = draw.uniform(-1, 1, size=(n, 2))
    return X, 2 * X[:, 0] + (1 + X[:, 1]) * draw.normal(size=n)


@pytest.mark.parametrize(
    "model",
    [
        QuantileRegressor(alpha=0, solver="highs"),
        GradientBoostingRegressor(loss="quantile", n_estimators=10),
        HistGradientBoostingRegressor(loss="quantile", quantile=0.5, max_iter=10),
        RandomForestQuantileRegressor(n_estimators=10),
        NeighbourQuantiles(),
        GaussianNetwork(max_epochs=3),
        QuantileNetwork(max_epochs=3, penalty=1.0),
    ],
    ids=lambda model: type(model).__name__,
)
def test_models_of_all_kinds_predict_all_levels(model: Any) -> None:
    X, y = rows()
    before = model.get_params()
    found = at_levels(model, X, y, LEVELS)(X[:7])
    assert found.shape == (7, 3) and np.isfinite(found).all()
    assert found[:, 2].mean() > found[:, 0].mean()
    assert model.get_params() == before


def test_a_model_without_quantiles_is_refused() -> None:
    for model in (LinearRegression(), GradientBoostingRegressor(), object()):
        with pytest.raises(InputError) as error:
            at_levels(model, *rows(), LEVELS)
        assert error.value.field == "models"


class Memory(NeighbourQuantiles):
    """Remembers what it has seen: 0 for a row that it was fitted on, 1 for any other."""

    def predict_quantiles(self, X: Any) -> np.ndarray:
        near, _ = self.index_.kneighbors((X - self.mean_) / self.scale_, n_neighbors=1)
        return np.repeat((near > 1e-12).astype(float), 3, axis=1)


def test_no_row_is_predicted_by_a_model_that_saw_it() -> None:
    X, y = rows(60)
    fold = assign(60, 4, None, 0)
    z, fitted = out_of_fold({"memory": Memory()}, X, y, LEVELS, fold)
    assert (z == 1).all() and len(fitted) == 4
    nested = without_pairs({"memory": Memory()}, X, y, LEVELS, fold)
    for k, quantiles in nested.items():
        assert np.isnan(quantiles[fold == k]).all() and (quantiles[fold != k] == 1).all()


def test_pairs_of_folds_are_fitted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from etude.estimate.quantile import folds

    fits = []
    monkeypatch.setattr(folds, "at_levels", lambda *a: fits.append(1) or (lambda X: np.zeros((len(X), 3))))
    X, y = rows(60)
    without_pairs({"any": None}, X, y, LEVELS, assign(60, 5, None, 0))
    assert len(fits) == 10


def test_groups_are_never_divided() -> None:
    groups = np.arange(60) // 6
    fold = assign(60, 4, groups, 0)
    assert all(len(set(fold[groups == group])) == 1 for group in range(10))
    with pytest.raises(InputError) as error:
        assign(60, 11, groups, 0)
    assert error.value.field == "folds"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "model",
    [
        QuantileAggregator(["linear"], levels=[0.1, 0.5, 0.9], aggregator=QuantileAverage()),
        NeighbourQuantiles(neighbours=5),
        pytest.param(GaussianNetwork(), marks=pytest.mark.slow),
        pytest.param(QuantileNetwork(), marks=pytest.mark.slow),
    ],
    ids=lambda model: type(model).__name__,
)
def test_scikit_learns_own_checks(model: Any) -> None:
    check_estimator(model)


@pytest.mark.parametrize("calibrate", [None, "split", "cv+"])
def test_quantiles_never_cross_and_intervals_cover(calibrate: Any) -> None:
    X, y = rows(300)
    fresh_X, fresh_y = rows(2000, seed=1)
    model = QuantileAggregator(**CHEAP, aggregator=BestModel(), calibrate=calibrate, random_state=0).fit(X, y)
    assert (np.diff(model.predict_quantiles(fresh_X), axis=1) >= 0).all()
    low, high = model.predict_interval(fresh_X, coverage=0.8)
    assert 0.72 < ((low <= fresh_y) & (fresh_y <= high)).mean() < 0.88
    assert model.predict(fresh_X) == pytest.approx(model.predict_quantiles(fresh_X)[:, 1])


def test_the_same_seed_gives_the_same_model_and_weights_can_be_looked_at() -> None:
    X, y = rows(120)
    method = Dqa(resolution="medium", searches=1, max_steps=100)
    several = [QuantileAggregator(**CHEAP, aggregator=method, random_state=3).fit(X, y) for _ in range(2)]
    assert (several[0].predict_quantiles(X) == several[1].predict_quantiles(X)).all()
    weights = several[0].combined_.weights(X)
    assert weights.shape == (120, 2, 3) and weights.sum(axis=1) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("field", "settings"),
    [
        ("levels", {"levels": [0.5, 0.1]}),
        ("levels", {"levels": [0.1, 0.5, 0.8], "calibrate": "split"}),
        ("models", {"models": ["linea"]}),
        ("folds", {"folds": 1}),
        ("folds", {"folds": 300}),
        ("calibrate", {"calibrate": "cv"}),
        ("calibration", {"calibrate": "split", "calibration": 1.0}),
    ],
)
def test_what_cannot_be_used_is_named(field: str, settings: dict[str, Any]) -> None:
    with pytest.raises(InputError) as error:
        QuantileAggregator(**{**CHEAP, "aggregator": QuantileAverage(), **settings}).fit(*rows())
    assert error.value.field == field


def test_gaps_in_targets_are_named() -> None:
    X, y = rows()
    y[3] = np.nan
    with pytest.raises(ValueError, match="Input y contains NaN"):
        QuantileAggregator(**CHEAP).fit(X, y)
