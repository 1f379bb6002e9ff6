"""Standardised features, dense or sparse, and the three products that a fit needs.

Columns have mean 0 and standard deviation 1 (with 1/n; 1 where a column is constant), and a column of ones
stands before them for the intercepts. A sparse matrix stays sparse: its centring is worked into the products.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from etude.estimate.ordinal.likelihood import Array

CHUNK = 8192
"""Rows of a dense matrix that are weighted at a time."""


class Features(Protocol):
    """``Z = [1, (X - mean) / scale]``, ``[n, 1 + p]``."""

    mean: Array
    scale: Array

    def times(self, coefficients: Array) -> Array:
        """``Z B`` for ``B [1 + p, k]``."""

    def transposed_times(self, values: Array) -> Array:
        """``Z' V`` for ``V [n, k]``."""

    def gram(self, weights: Array, columns: NDArray[np.intp]) -> Array:
        """``Z_c' diag(w) Z_c`` for the ones and these columns; the weights are all >= 0 or all <= 0."""


def standardise(X: Any) -> Features:
    """The features of a matrix, dense or sparse."""
    return SparseFeatures(X) if sp.issparse(X) else DenseFeatures(X)


class DenseFeatures:
    """Of an array ``[n, p]``; holds a standardised copy of it."""

    def __init__(self, X: Array) -> None:
        self.mean = X.mean(axis=0)
        self.scale = _positive(X.std(axis=0), self.mean)
        self._z = np.empty((X.shape[0], X.shape[1] + 1))
        self._z[:, 0] = 1.0
        np.subtract(X, self.mean, out=self._z[:, 1:])
        self._z[:, 1:] /= self.scale

    def times(self, coefficients: Array) -> Array:
        """See `Features`."""
        return self._z @ coefficients

    def transposed_times(self, values: Array) -> Array:
        """See `Features`."""
        return self._z.T @ values

    def gram(self, weights: Array, columns: NDArray[np.intp]) -> Array:
        """See `Features`."""
        rows, kept = np.flatnonzero(weights), np.concatenate([[0], columns + 1])
        every = len(kept) == self._z.shape[1]
        total = np.zeros((len(kept), len(kept)))
        for start in range(0, len(rows), CHUNK):
            some = rows[start : start + CHUNK]
            z = self._z[some] if every else self._z[np.ix_(some, kept)]
            z *= np.sqrt(np.abs(weights[some]))[:, None]
            total += z.T @ z  # the same array twice: half the work
        return total * np.sign(weights[rows[0]]) if len(rows) else total


class SparseFeatures:
    """Of a sparse matrix ``[n, p]``, which is never made dense."""

    def __init__(self, X: Any) -> None:
        self._x = sp.csr_array(X)
        self.mean = np.asarray(self._x.mean(axis=0)).ravel()
        stored = self._x.tocoo()
        column, n = stored.coords[1], X.shape[0]
        away = np.bincount(column, (stored.data - self.mean[column]) ** 2, minlength=X.shape[1])
        zeros = n - np.bincount(column, minlength=X.shape[1])
        self.scale = _positive(np.sqrt((away + zeros * self.mean**2) / n), self.mean)

    def times(self, coefficients: Array) -> Array:
        """See `Features`."""
        scaled = coefficients[1:] / self.scale[:, None]
        product: Array = self._x @ scaled + (coefficients[0] - self.mean @ scaled)
        return product

    def transposed_times(self, values: Array) -> Array:
        """See `Features`."""
        total = values.sum(axis=0)
        rest = (self._x.T @ values - np.outer(self.mean, total)) / self.scale[:, None]
        return np.vstack([total, rest])

    def gram(self, weights: Array, columns: NDArray[np.intp]) -> Array:
        """See `Features`."""
        rows = np.flatnonzero(weights)
        x, w = self._x[rows][:, columns], weights[rows]
        mean, scale, total = self.mean[columns], self.scale[columns], w.sum()
        sums = x.T @ w
        squares = (x.T @ x.multiply(w[:, None])).toarray()
        squares += total * np.outer(mean, mean) - np.outer(mean, sums) - np.outer(sums, mean)
        first = (sums - total * mean) / scale
        return np.block(
            [[np.array([[total]]), first[None]], [first[:, None], squares / np.outer(scale, scale)]]
        )


def _positive(deviation: Array, mean: Array) -> Array:
    """Standard deviations, 1 for columns that are constant up to rounding."""
    return np.where(deviation > 1e-10 * np.maximum(np.abs(mean), 1e-290), deviation, 1.0)
