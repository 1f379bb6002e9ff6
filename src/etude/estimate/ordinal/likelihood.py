"""The cumulative-logit likelihood: one boundary between every two levels, its slopes and its curvature.

With levels 0 .. K-1 and ``F_k = sigma(eta_k)`` the probability of level k or lower, a row of level y has
``P = F_y - F_(y-1)``. Boundaries that are not parallel may cross, and P may fall to 0 or below: under
`FLOOR` the logarithm is continued by its tangent, which is finite and pushes the boundaries back.

References
----------
Faletto and Bien, "Predicting Rare Events by Shrinking Towards Proportional Odds", ICML 2023.
arXiv:2305.18700.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Array = NDArray[np.float64]

FLOOR = 1e-8
"""Probability below which the logarithm is replaced by its tangent."""


@dataclass(frozen=True)
class Rows:
    """What every row's likelihood depends on: the two boundaries around its level.

    Parameters
    ----------
    y : level of each row, ``[n]``, from 0.
    boundaries : K-1.
    upper, lower : F at the boundary above and below the level; 1 and 0 where there is none.
    upper_slope, lower_slope : dF/deta there; 0 where there is none.
    probability : of the observed level; not above 0 where boundaries cross.
    """

    y: NDArray[np.intp]
    boundaries: int
    upper: Array
    lower: Array
    upper_slope: Array
    lower_slope: Array
    probability: Array

    @classmethod
    def at(cls, eta: Array, y: NDArray[np.intp]) -> Rows:
        """The rows at linear predictors ``eta [n, K-1]``."""
        n = len(y)
        ends = np.full((n, 1), np.inf)
        padded, rows = np.hstack([-ends, eta, ends]), np.arange(n)
        a, b = padded[rows, y + 1], padded[rows, y]
        # sigma(a) - sigma(b) without cancellation, however close to 1 both are.
        gap = -np.expm1(np.minimum(b - a, 500.0))
        upper, lower, above = expit(a), expit(b), expit(-b)
        return cls(y, eta.shape[1], upper, lower, upper * expit(-a), lower * above, upper * above * gap)

    @property
    def floored(self) -> Array:
        """The probability, at least `FLOOR`."""
        return np.maximum(self.probability, FLOOR)

    def loss(self) -> float:
        """Mean negative log-likelihood."""
        tangent = np.minimum(self.probability - FLOOR, 0.0) / FLOOR
        return float(-np.mean(np.log(self.floored) + tangent))

    def gradient(self) -> Array:
        """Derivative of the mean loss by ``eta``, ``[n, K-1]``."""
        share = 1 / (self.floored * len(self.y))
        return self._scatter(-self.upper_slope * share, self.lower_slope * share)

    def curvature(self) -> tuple[Array, Array]:
        """Second derivatives of the mean loss: by each boundary ``[n, K-1]``, by neighbours ``[n, K-2]``.

        Of the observed likelihood, whose logarithm is concave, so that they are positive semi-definite in
        every row. Where the floor is reached only the squares of slopes are kept.
        """
        kept = self.probability > FLOOR
        p = self.floored
        steeper = np.where(kept, self.upper_slope * (1 - 2 * self.upper), 0.0) / p
        flatter = np.where(kept, self.lower_slope * (1 - 2 * self.lower), 0.0) / p
        up, down, n = self.upper_slope / p, self.lower_slope / p, len(self.y)
        own = self._scatter((up**2 - steeper) / n, (down**2 + flatter) / n)
        beside = np.zeros((n, self.boundaries - 1))
        inner = (self.y > 0) & (self.y < self.boundaries)
        beside[np.flatnonzero(inner), self.y[inner] - 1] = -(up * down)[inner] / n
        return np.maximum(own, 0.0), beside

    def _scatter(self, above: Array, below: Array) -> Array:
        """Values of the boundaries above and below each row's level, in the columns of these boundaries."""
        n = len(self.y)
        padded, rows = np.zeros((n, self.boundaries + 2)), np.arange(n)
        padded[rows, self.y + 1] = above
        padded[rows, self.y] = below
        return padded[:, 1:-1]


def class_probabilities(eta: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Probabilities of the levels at ``eta [n, K-1]``, and which rows had to be repaired.

    Where boundaries cross, F is replaced by its running maximum over the boundaries: no probability is
    negative and every row sums to 1.

    Examples
    --------
    >>> probabilities, repaired = class_probabilities(np.array([[0.0, 1.0], [1.0, 0.0]]))
    >>> abs(probabilities).round(3).tolist(), repaired.tolist()
    ([[0.5, 0.231, 0.269], [0.731, 0.0, 0.269]], [False, True])
    """
    crossed: NDArray[np.bool_] = np.any(np.diff(eta, axis=1) < 0, axis=1)
    ordered = np.maximum.accumulate(eta, axis=1)
    ends = np.full((len(eta), 1), np.inf)
    a, b = np.hstack([ordered, ends]), np.hstack([-ends, ordered])
    return expit(a) * expit(-b) * -np.expm1(np.minimum(b - a, 0.0)), crossed
