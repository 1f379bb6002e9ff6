"""Drawn funnels whose true probabilities are known: the designs of the paper's simulations.

References
----------
Faletto and Bien, "Predicting Rare Events by Shrinking Towards Proportional Odds", ICML 2023, simulations.
arXiv:2305.18700.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from etude.estimate.ordinal.likelihood import Array

INTERCEPTS = (0.0, 3.5, 5.5)
"""Of the boundaries: some 0.5 % of the rows reach the last of four levels."""


@dataclass(frozen=True)
class Drawn:
    """Rows of a known model.

    Parameters
    ----------
    X : uniform on [-1, 1], ``[n, p]``.
    y : levels from 0, ``[n]``; every level occurs.
    probabilities : true ones, ``[n, K]``.
    coef : true weights, ``[p, K-1]``.
    """

    X: Array
    y: NDArray[np.intp]
    probabilities: Array
    coef: Array


def sparse_differences(
    n: int = 2500,
    p: int = 10,
    *,
    share: float = 1 / 3,
    intercepts: Sequence[float] = INTERCEPTS,
    seed: int | None = None,
) -> Drawn:
    """Weights of 0.5 or 0 that change by 0.5 or -0.5 from some boundaries to the next.

    Parameters
    ----------
    n, p : rows and features.
    share : probability that a first weight is kept, and that a weight changes at a boundary.
    intercepts : of the boundaries, ascending.
    seed : of all draws.

    Examples
    --------
    >>> drawn = sparse_differences(seed=0)
    >>> drawn.X.shape, sorted(set(drawn.y.tolist()))
    ((2500, 10), [0, 1, 2, 3])
    """

    def weights(draw: np.random.Generator) -> Array:
        first = 0.5 * (draw.random((p, 1)) < share)
        changed = draw.random((p, len(intercepts) - 1)) < share
        return np.hstack([first, 0.5 * changed * draw.choice([-1, 1], changed.shape)]).cumsum(axis=1)

    return _draw(n, weights, intercepts, seed)


def dense_differences(
    n: int = 2500, p: int = 10, *, intercepts: Sequence[float] = INTERCEPTS, seed: int | None = None
) -> Drawn:
    """First weights and all changes uniform on [-0.5, 0.5]."""

    def weights(draw: np.random.Generator) -> Array:
        return draw.uniform(-0.5, 0.5, (p, len(intercepts))).cumsum(axis=1)

    return _draw(n, weights, intercepts, seed)


def equal_weights(
    n: int = 2500,
    p: int = 10,
    *,
    share: float = 1 / 3,
    intercepts: Sequence[float] = INTERCEPTS,
    seed: int | None = None,
) -> Drawn:
    """Proportional odds in truth: weights of 0.5 or 0, the same at every boundary."""

    def weights(draw: np.random.Generator) -> Array:
        return np.repeat(0.5 * (draw.random((p, 1)) < share), len(intercepts), axis=1)

    return _draw(n, weights, intercepts, seed)


def _draw(
    n: int, weights: Callable[[np.random.Generator], Array], intercepts: Sequence[float], seed: int | None
) -> Drawn:
    """Draw weights and rows until no probability is negative and every level occurs."""
    draw = np.random.default_rng(seed)
    for _ in range(1000):
        coef = weights(draw)
        X = draw.uniform(-1, 1, (n, len(coef)))
        below = expit(X @ coef + np.asarray(intercepts))
        probabilities = np.diff(below, axis=1, prepend=0.0, append=1.0)
        if (probabilities < 0).any():
            continue
        y = (draw.random((n, 1)) > below).sum(axis=1)
        if len(set(y.tolist())) == len(intercepts) + 1:
            return Drawn(X, y, probabilities, coef)
    raise RuntimeError("no valid draw in 1000")
