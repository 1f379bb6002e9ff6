"""Drawn rows with known noise, to learn on and to judge by."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from etude.estimate.quantile.scores import Array


def friedman(rows: int, seed: int) -> tuple[Array, Array]:
    """Friedman's first function of ten uniform features, with noise of deviation 0.3 + x_1.

    Examples
    --------
    >>> X, y = friedman(5, seed=0)
    >>> X.shape, y.shape
    ((5, 10), (5,))

    References
    ----------
    Friedman, "Multivariate Adaptive Regression Splines", Annals of Statistics 19(1), 1991.
    """
    draw = np.random.default_rng(seed)
    X = draw.uniform(size=(rows, 10))
    signal = 10 * np.sin(np.pi * X[:, 0] * X[:, 1]) + 20 * (X[:, 2] - 0.5) ** 2 + 10 * X[:, 3] + 5 * X[:, 4]
    return X, signal + (0.3 + X[:, 0]) * draw.normal(size=rows)


def planted(rows: int, levels: Array, seed: int) -> tuple[Array, Array, Array]:
    """Two models' quantiles of a normal target: each exact for one sign of the first feature.

    Where it is not, the first is 2 too high and the second 2 too low, so that no weights that are the same
    everywhere suit both halves.

    Returns
    -------
    features ``[n, 3]``, targets ``[n]``, quantiles ``[n, 2, m]``.

    Examples
    --------
    >>> X, y, z = planted(5, np.array([0.1, 0.9]), seed=0)
    >>> z.shape
    (5, 2, 2)
    """
    draw = np.random.default_rng(seed)
    X = draw.uniform(-1, 1, size=(rows, 3))
    exact = X[:, 1, None] + ndtri(levels)
    left = X[:, :1] < 0
    z = np.stack([np.where(left, exact, exact + 2), np.where(left, exact - 2, exact)], axis=1)
    return X, X[:, 1] + draw.normal(size=rows), z
