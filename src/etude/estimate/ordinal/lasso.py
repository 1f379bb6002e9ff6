"""A quadratic function with an elastic-net penalty, minimised exactly."""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from etude.estimate.ordinal.likelihood import Array


def minimise(hessian: Array, linear: Array, l1: Array, l2: Array, start: Array, tol: float) -> Array:
    """The minimum of ``x'Hx/2 - b'x + sum_j l1_j |x_j| + sum_j l2_j x_j^2 / 2``.

    Cyclic coordinate descent finds which coordinates are not zero, and with which signs; between two sweeps
    a step goes towards the minimum for these signs, as far as they stay what they are.

    Parameters
    ----------
    hessian : symmetric and positive semi-definite, ``[d, d]``.
    linear : b, ``[d]``.
    l1, l2 : weights of the penalties, each ``[d]``, not negative; 0 for a free coordinate.
    start : where to begin, ``[d]``.
    tol : how far a subgradient may be from 0.

    Examples
    --------
    >>> zeros = np.zeros(2)
    >>> minimise(np.eye(2), np.array([3.0, 0.5]), np.ones(2), zeros, zeros, 1e-9).round(6).tolist()
    [2.0, 0.0]
    """
    x = start.copy()
    for _ in range(1000):
        _sweep(hessian, linear, l1, l2, x)
        _step_on_support(hessian, linear, l1, l2, x)
        if violation(hessian @ x - linear + l2 * x, l1, x).max(initial=0.0) <= tol:
            break
    return x


def violation(gradient: Array, l1: Array, x: Array) -> Array:
    """How far each coordinate is from optimal: the distance of 0 from its subgradients.

    Parameters
    ----------
    gradient : of the smooth part, any shape.
    l1 : weight of the absolute value; of the same shape, as is ``x``.
    """
    at_zero = np.maximum(np.abs(gradient) - l1, 0.0)
    return np.where(x == 0, at_zero, np.abs(gradient + np.where(x == 0, 0.0, l1) * np.sign(x)))


def _sweep(hessian: Array, linear: Array, l1: Array, l2: Array, x: Array) -> None:
    """Minimise over one coordinate after the other, in place."""
    gradient = hessian @ x - linear
    curvature = np.diag(hessian).tolist()
    first, second = l1.tolist(), l2.tolist()
    for j, bend in enumerate(curvature):
        if bend <= 0:
            continue
        old = float(x[j])
        pull = bend * old - float(gradient[j])
        new = math.copysign(max(abs(pull) - first[j], 0.0), pull) / (bend + second[j])
        if new != old:
            gradient += hessian[j] * (new - old)
            x[j] = new


def _step_on_support(hessian: Array, linear: Array, l1: Array, l2: Array, x: Array) -> None:
    """Towards the minimum for the present signs, until the first of them would change; in place."""
    on = np.flatnonzero((x != 0) | (l1 == 0))
    matrix = hessian[np.ix_(on, on)]
    matrix[np.diag_indices_from(matrix)] += l2[on] + 1e-12 * max(
        float(np.diag(hessian).max(initial=0.0)), 1e-300
    )
    try:
        target = cho_solve(cho_factor(matrix), linear[on] - l1[on] * np.sign(x[on]))
    except LinAlgError:
        return  # collinear features: coordinate descent goes on alone
    crosses = (l1[on] > 0) & (np.sign(target) != np.sign(x[on]))
    if not crosses.any():
        x[on] = target
        return
    share = x[on][crosses] / (x[on][crosses] - target[crosses])
    x[on] += share.min() * (target - x[on])
    x[on[np.flatnonzero(crosses)[share == share.min()]]] = 0.0
