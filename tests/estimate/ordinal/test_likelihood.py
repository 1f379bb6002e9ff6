"""Slopes and curvature of the cumulative-logit likelihood, its floor, and repaired probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from etude.estimate.ordinal.likelihood import FLOOR, Rows, class_probabilities

LEVELS = 4


def rows(seed: int = 0, n: int = 30) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    eta = np.sort(draw.normal(scale=2, size=(n, LEVELS - 1)), axis=1)
    return eta, draw.integers(LEVELS, size=n)


def test_probability_is_the_difference_of_neighbouring_boundaries() -> None:
    eta, y = rows()
    below = np.hstack([np.zeros((30, 1)), expit(eta), np.ones((30, 1))])
    expected = below[np.arange(30), y + 1] - below[np.arange(30), y]
    assert Rows.at(eta, y).probability == pytest.approx(expected, abs=1e-12)
    assert class_probabilities(eta)[0][np.arange(30), y] == pytest.approx(expected, abs=1e-12)


def test_probability_far_out_is_not_lost_by_cancellation() -> None:
    eta, y = np.array([[-3.0, 38.0, 40.0]]), np.array([2])
    assert Rows.at(eta, y).probability[0] == pytest.approx(np.exp(-38) - np.exp(-40), rel=1e-9)


def test_gradient_and_curvature_are_derivatives() -> None:
    eta, y = rows()
    step = 1e-5
    gradient = Rows.at(eta, y).gradient()
    own, beside = Rows.at(eta, y).curvature()
    for k in range(LEVELS - 1):
        moved = np.zeros_like(eta)
        moved[:, k] = step
        for i in (0, 7, 19):
            one = np.zeros_like(eta)
            one[i, k] = step
            slope = (Rows.at(eta + one, y).loss() - Rows.at(eta - one, y).loss()) / (2 * step)
            assert gradient[i, k] == pytest.approx(slope, abs=1e-8)
        bend = (Rows.at(eta + moved, y).gradient() - Rows.at(eta - moved, y).gradient()) / (2 * step)
        assert own[:, k] == pytest.approx(bend[:, k], abs=1e-6)
        if k > 0:
            assert beside[:, k - 1] == pytest.approx(bend[:, k - 1], abs=1e-6)


def test_below_the_floor_the_loss_is_a_tangent_that_pushes_back() -> None:
    crossed = Rows.at(np.array([[1.0, 0.5, 2.0]]), np.array([1]))
    assert crossed.probability[0] < 0
    tangent = -np.log(FLOOR) - (crossed.probability[0] - FLOOR) / FLOOR
    assert crossed.loss() == pytest.approx(tangent)
    lower, upper, _ = crossed.gradient()[0]
    assert lower > 0 > upper  # downhill is apart


def test_repaired_probabilities_are_a_distribution() -> None:
    draw = np.random.default_rng(1)
    eta = draw.normal(scale=3, size=(200, 5))
    probabilities, repaired = class_probabilities(eta)
    assert (probabilities >= 0).all()
    assert probabilities.sum(axis=1) == pytest.approx(1)
    assert repaired.sum() == (np.diff(eta, axis=1) < 0).any(axis=1).sum() > 0
    below = np.maximum.accumulate(expit(eta), axis=1)
    assert probabilities.cumsum(axis=1)[:, :-1] == pytest.approx(below, abs=1e-12)
