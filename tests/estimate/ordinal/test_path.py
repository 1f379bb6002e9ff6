"""Solutions of the penalised problem: optimality, limits in which other libraries agree, invariances."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import Lasso, LogisticRegression

from etude.estimate.ordinal import (
    LogisticStepsClassifier,
    OrdinalNetClassifier,
    PrestoClassifier,
    ProportionalOddsClassifier,
)
from etude.estimate.ordinal.designs import sparse_differences
from etude.estimate.ordinal.features import standardise
from etude.estimate.ordinal.lasso import minimise, violation
from etude.estimate.ordinal.likelihood import class_probabilities
from etude.estimate.ordinal.path import Problem, differences, semi_parallel, separate

DRAWN = sparse_differences(1500, 6, intercepts=(0.0, 1.5, 3.0), seed=2)


def problem(design: np.ndarray, *, l1_ratio: float = 1.0, first: float = 1.0) -> Problem:
    penalised = np.ones(design.shape[1])
    penalised[0] = first
    return Problem(standardise(DRAWN.X), DRAWN.y, design, penalised, l1_ratio)


def test_dense_and_sparse_features_give_the_same_products() -> None:
    draw = np.random.default_rng(0)
    X = np.where(draw.random((50, 4)) < 0.5, 0.0, draw.normal(loc=3, size=(50, 4)))
    X[:, 2] = 7.0  # constant: its deviation counts as 1
    dense, sparse = standardise(X), standardise(sp.csr_array(X))
    assert dense.scale[2] == sparse.scale[2] == 1.0
    coefficients, values, weights = draw.normal(size=(5, 3)), draw.normal(size=(50, 3)), draw.random(50)
    columns = np.array([0, 3])
    assert dense.times(coefficients) == pytest.approx(sparse.times(coefficients))
    assert dense.transposed_times(values) == pytest.approx(sparse.transposed_times(values))
    for sign in (1, -1):
        assert dense.gram(sign * weights, columns) == pytest.approx(sparse.gram(sign * weights, columns))
    z = np.hstack([np.ones((50, 1)), (X - dense.mean) / dense.scale])[:, [0, 1, 4]]
    assert dense.gram(weights, columns) == pytest.approx(z.T @ (z * weights[:, None]))


def test_the_quadratic_problem_is_the_lasso_of_scikit_learn() -> None:
    draw = np.random.default_rng(1)
    X, y = draw.normal(size=(60, 20)), draw.normal(size=60)
    theirs = Lasso(alpha=0.1, fit_intercept=False, tol=1e-12, max_iter=100_000).fit(X, y).coef_
    l1, none = np.full(20, 0.1), np.zeros(20)
    ours = minimise(X.T @ X / 60, X.T @ y / 60, l1, none, none, tol=1e-12)
    assert ours == pytest.approx(theirs, abs=1e-8)
    assert (ours == 0).tolist() == (theirs == 0).tolist()


def test_collinear_features_do_not_stop_the_quadratic_problem() -> None:
    hessian = np.ones((2, 2))
    x = minimise(hessian, np.array([1.0, 1.0]), np.full(2, 0.1), np.zeros(2), np.zeros(2), tol=1e-10)
    assert violation(hessian @ x - 1.0, np.full(2, 0.1), x).max() < 1e-10


@pytest.mark.parametrize("design", [differences(3), separate(3), semi_parallel(3)])
@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
def test_optimality_conditions_hold_along_the_path(design: np.ndarray, l1_ratio: float) -> None:
    task = problem(design, l1_ratio=l1_ratio)
    top = task.largest(task.null())
    for fit in task.path(top * np.logspace(0, -2, 6), tol=1e-8):
        gradient = task.gradient(fit) + fit.lam * (1 - l1_ratio) * fit.psi
        zero = fit.psi == 0
        assert np.abs(gradient[zero]).max(initial=0) <= fit.lam * l1_ratio + 1e-8
        kinks = gradient[~zero] + fit.lam * l1_ratio * np.sign(fit.psi[~zero])
        assert np.abs(kinks).max(initial=0) <= 1e-8


def test_at_the_largest_penalty_nothing_is_left_but_the_frequencies() -> None:
    task = problem(differences(3))
    top = task.largest(task.null())
    frequencies = np.bincount(DRAWN.y) / len(DRAWN.y)
    model = PrestoClassifier(lam=top).fit(DRAWN.X, DRAWN.y)
    assert (model.coef_ == 0).all()
    assert model.predict_proba(DRAWN.X) == pytest.approx(np.tile(frequencies, (1500, 1)), abs=1e-7)
    assert (PrestoClassifier(lam=0.97 * top).fit(DRAWN.X, DRAWN.y).coef_ != 0).any()


def test_with_a_free_first_step_a_large_penalty_is_proportional_odds() -> None:
    free = PrestoClassifier(lam=10.0, penalize_first=False).fit(DRAWN.X, DRAWN.y)
    parallel = ProportionalOddsClassifier().fit(DRAWN.X, DRAWN.y)
    assert free.coef_ == pytest.approx(parallel.coef_, abs=1e-6)
    assert free.intercept_ == pytest.approx(parallel.intercept_, abs=1e-6)


def test_proportional_odds_agree_with_statsmodels() -> None:
    ordered = pytest.importorskip("statsmodels.miscmodels.ordinal_model")
    theirs = ordered.OrderedModel(DRAWN.y, DRAWN.X, distr="logit").fit(method="bfgs", gtol=1e-8, disp=0)
    ours = ProportionalOddsClassifier(tol=1e-9).fit(DRAWN.X, DRAWN.y)
    thresholds = theirs.model.transform_threshold_params(theirs.params)[1:-1]
    assert ours.intercept_ == pytest.approx(thresholds, abs=1e-5)
    assert ours.coef_[:, 0] == pytest.approx(-theirs.params[:6], abs=1e-5)


def test_two_levels_are_the_l1_logistic_regression_of_scikit_learn() -> None:
    y, lam = (DRAWN.y > 0).astype(int), 0.01
    z = (DRAWN.X - DRAWN.X.mean(axis=0)) / DRAWN.X.std(axis=0)
    settings = {"C": 1 / (len(y) * lam), "l1_ratio": 1.0, "solver": "saga", "tol": 1e-10, "max_iter": 20_000}
    theirs = LogisticRegression(**settings).fit(z, y)
    with pytest.warns(UserWarning, match="two levels"):
        ours = PrestoClassifier(lam=lam).fit(z, y)
    assert -ours.coef_[:, 0] == pytest.approx(theirs.coef_[0], abs=1e-6)
    assert -ours.intercept_ == pytest.approx(theirs.intercept_, abs=1e-6)


def test_without_a_penalty_every_design_is_the_same_model() -> None:
    fits = [
        PrestoClassifier(lam=0.0).fit(DRAWN.X, DRAWN.y),
        OrdinalNetClassifier(lam=0.0).fit(DRAWN.X, DRAWN.y),
    ]
    assert fits[0].coef_ == pytest.approx(fits[1].coef_, abs=1e-5)
    assert fits[0].objective_ == pytest.approx(fits[1].objective_, abs=1e-10)


def test_logistic_steps_of_the_last_level_are_plain_logistic_regression() -> None:
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(DRAWN.X, DRAWN.y == 3)
    ours = LogisticStepsClassifier().fit(DRAWN.X, DRAWN.y)
    assert -ours.coef_[:, -1] == pytest.approx(theirs.coef_[0], abs=1e-4)
    last = class_probabilities(DRAWN.X @ ours.coef_ + ours.intercept_)[0][:, -1]
    alone = theirs.predict_proba(DRAWN.X)[:, 1]
    assert np.quantile(np.abs(last - alone), 0.95) < 1e-3  # rows whose boundaries cross are repaired


def test_units_of_a_feature_change_nothing_and_reversed_levels_do() -> None:
    fit = PrestoClassifier(lam=0.01).fit(DRAWN.X, DRAWN.y)
    scaled = DRAWN.X * np.array([1, 10, 0.1, 1, 100, 1]) + 5
    assert PrestoClassifier(lam=0.01).fit(scaled, DRAWN.y).predict_proba(scaled) == pytest.approx(
        fit.predict_proba(DRAWN.X), abs=1e-6
    )
    reversed_fit = PrestoClassifier(lam=0.01, levels=[3, 2, 1, 0]).fit(DRAWN.X, DRAWN.y)
    gap = np.abs(reversed_fit.predict_proba(DRAWN.X)[:, ::-1] - fit.predict_proba(DRAWN.X)).max()
    assert gap > 1e-3


def test_sparse_rows_give_the_same_model() -> None:
    dense = PrestoClassifier(n_lams=5, random_state=0).fit(DRAWN.X, DRAWN.y)
    sparse = PrestoClassifier(n_lams=5, random_state=0).fit(sp.csr_array(DRAWN.X), DRAWN.y)
    assert dense.lam_ == pytest.approx(sparse.lam_)
    assert dense.path_coef_ == pytest.approx(sparse.path_coef_, abs=1e-6)


def test_more_features_than_rows() -> None:
    draw = np.random.default_rng(0)
    X, y = draw.normal(size=(60, 200)), np.arange(60) % 3
    model = PrestoClassifier(lam=0.1).fit(X, y)
    assert 0 < np.count_nonzero(model.coef_) < 200
    assert model.objective_[0] < np.log(3)
