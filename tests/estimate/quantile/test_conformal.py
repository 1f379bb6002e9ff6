"""Conformal calibration: order statistics, coverage, equality with MAPIE."""

from __future__ import annotations

import numpy as np
import pytest

from etude.errors import InputError
from etude.estimate.quantile.conformal import calibrated, cv_plus, offsets, order_statistic, pairs

LEVELS = np.array([0.1, 0.5, 0.9])


class Fixed:
    """A quantile that is the first feature and a shift; fitted already, as MAPIE asks for it."""

    def __init__(self, shift: float) -> None:
        self.shift = shift
        self.fitted_ = True

    def fit(self, X: np.ndarray, y: np.ndarray) -> Fixed:
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        return X[:, 0] + self.shift

    def __sklearn_is_fitted__(self) -> bool:
        return True


def rows(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    X = draw.normal(size=(n, 1))
    return X, X[:, 0] + draw.normal(size=n), X + np.array([-0.6, 0.0, 0.6])


def test_coverage_is_what_it_says_on_average() -> None:
    n, covered = 50, []
    for seed in range(400):
        _, y, q = rows(n, seed)
        _, fresh, new = rows(50, 10_000 + seed)
        after = calibrated(new, offsets(q, y, LEVELS))
        covered.append(((after[:, 0] <= fresh) & (fresh <= after[:, 2])).mean())
    error = 3 * np.std(covered) / np.sqrt(len(covered))
    assert 0.8 - error <= np.mean(covered) <= 0.8 + 1 / (n + 1) + error


@pytest.mark.parametrize("symmetric", [True, False])
def test_it_is_mapies_conformalised_quantile_regression(symmetric: bool) -> None:
    mapie = pytest.importorskip("mapie.regression")
    X, y, q = rows(80, 0)
    fresh_X, _, new = rows(30, 1)
    models = [Fixed(-0.6), Fixed(0.6), Fixed(0.0)]  # lower, upper, median
    theirs = mapie.ConformalizedQuantileRegressor(models, confidence_level=0.8, prefit=True)
    theirs.conformalize(X, y)
    _, ends = theirs.predict_interval(fresh_X, symmetric_correction=symmetric)
    ours = calibrated(new, offsets(q, y, LEVELS, symmetric=symmetric))
    assert ours[:, [0, 2]] == pytest.approx(ends[:, :, 0], abs=1e-9)


def test_too_few_rows_are_refused_by_name() -> None:
    _, y, q = rows(3, 0)
    with pytest.raises(InputError, match="too few") as error:
        offsets(q, y, LEVELS)
    assert error.value.field == "calibration"
    assert order_statistic(y, 0.5) == np.sort(y)[1]


def test_levels_without_a_partner_are_refused() -> None:
    assert pairs(np.array([0.1, 0.2, 0.8, 0.9])) == [(0, 3), (1, 2)]
    with pytest.raises(InputError, match="symmetric"):
        pairs(np.array([0.1, 0.5, 0.8]))


def test_calibrated_quantiles_are_in_order() -> None:
    _, y, q = rows(40, 0)
    moved = offsets(q[:, [0, 0, 1, 2, 2]], y, np.array([0.1, 0.2, 0.5, 0.8, 0.9]))
    after = calibrated(q[:, [0, 0, 1, 2, 2]], moved)
    assert (np.diff(after, axis=1) >= 0).all()
    assert moved[0] == -moved[4] and moved[2] == 0


def test_cv_plus_takes_the_order_statistics_of_both_ends() -> None:
    y = np.arange(9.0)
    held = np.stack([y - 1, y, y + 1], axis=1)  # every row lies 1 inside
    fold = np.arange(9) % 3
    new = np.array([[[0.0, 5.0, 10.0]], [[1.0, 6.0, 11.0]], [[2.0, 7.0, 12.0]]])
    found = cv_plus(held, y, fold, new, LEVELS)[0]
    lower = np.sort(np.repeat([0.0, 1.0, 2.0], 3) + 1)  # moved inwards by 1
    upper = np.sort(np.repeat([10.0, 11.0, 12.0], 3) - 1)
    assert found.tolist() == [lower[2 - 1], 6.0, upper[8 - 1]]
