"""What PRESTO is set beside: proportional odds, and a logistic regression for every step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from etude.estimate.ordinal import path
from etude.estimate.ordinal.classifier import OrdinalClassifier, unscaled
from etude.estimate.ordinal.features import Features, standardise
from etude.estimate.ordinal.likelihood import Array
from etude.estimate.ordinal.path import Problem


class ProportionalOddsClassifier(OrdinalClassifier):
    """Parallel boundaries: one weight vector for all steps, by maximum likelihood.

    Parameters
    ----------
    levels : the labels in their order, lowest first; None for that of ordered categories or values.
    tol : largest derivative of the mean log-likelihood at the solution, over standardised features.
    max_iter : Newton steps, at most.

    Examples
    --------
    >>> from etude.estimate.ordinal.designs import sparse_differences
    >>> drawn = sparse_differences(n=500, p=4, seed=0)
    >>> model = ProportionalOddsClassifier().fit(drawn.X, drawn.y)
    >>> bool((model.coef_ == model.coef_[:, :1]).all())
    True

    References
    ----------
    McCullagh, "Regression Models for Ordinal Data", Journal of the Royal Statistical Society B 42(2), 1980.
    """

    def __init__(
        self, *, levels: Sequence[Any] | None = None, tol: float = 1e-7, max_iter: int = 100
    ) -> None:
        self.levels = levels
        self.tol = tol
        self.max_iter = max_iter

    def fit(self, X: Any, y: Any) -> ProportionalOddsClassifier:
        """Fit to ``X [n, p]``, dense, sparse or a data frame, and ordered labels ``y [n]``."""
        X, codes = self._validated(X, y)
        intercept, coef, self.n_iter_ = _parallel(standardise(X), codes, self.tol, self.max_iter)
        self._set_boundaries(X, intercept, coef)
        return self


class LogisticStepsClassifier(OrdinalClassifier):
    """A logistic regression, without penalty, for every boundary by itself.

    For the last level this is plain logistic regression of the rare event: it learns nothing from the
    other steps. What the boundaries between say together is repaired where they cross.

    Parameters
    ----------
    levels : the labels in their order, lowest first; None for that of ordered categories or values.
    tol : largest derivative of the mean log-likelihood at the solution, over standardised features.
    max_iter : Newton steps for one boundary, at most.

    Examples
    --------
    >>> from etude.estimate.ordinal.designs import sparse_differences
    >>> drawn = sparse_differences(n=500, p=4, seed=0)
    >>> LogisticStepsClassifier().fit(drawn.X, drawn.y).coef_.shape
    (4, 3)
    """

    def __init__(
        self, *, levels: Sequence[Any] | None = None, tol: float = 1e-7, max_iter: int = 100
    ) -> None:
        self.levels = levels
        self.tol = tol
        self.max_iter = max_iter

    def fit(self, X: Any, y: Any) -> LogisticStepsClassifier:
        """Fit to ``X [n, p]``, dense, sparse or a data frame, and ordered labels ``y [n]``."""
        X, codes = self._validated(X, y)
        features = standardise(X)
        fits = [
            _parallel(features, (codes > k).astype(np.intp), self.tol, self.max_iter)
            for k in range(len(self.classes_) - 1)
        ]
        self.n_iter_ = sum(steps for *_, steps in fits)
        intercepts, weights = np.hstack([i for i, *_ in fits]), np.hstack([c for _, c, _ in fits])
        self._set_boundaries(X, intercepts, weights)
        return self


def _parallel(
    features: Features, codes: NDArray[np.intp], tol: float, max_iter: int
) -> tuple[Array, Array, int]:
    """Intercepts ``[K-1]`` and equal weights ``[p, K-1]`` of maximum likelihood, and Newton steps."""
    design = path.parallel(int(codes.max()))
    found = Problem(features, codes, design, np.zeros(1)).null(tol, max_iter)
    lines = unscaled(found.intercepts, found.psi @ design.T, features.mean, features.scale)
    return *lines, found.iterations
