"""What PRESTO is set beside: proportional odds, and a logistic regression for every step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from etude.estimate.ordinal import path
from etude.estimate.ordinal.classifier import OrdinalClassifier, unscaled
from etude.estimate.ordinal.features import standardise
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
        features, design = standardise(X), path.parallel(len(self.classes_) - 1)
        problem = Problem(features, codes, design, np.zeros(1))
        found = problem.null(self.tol, self.max_iter)
        lines = unscaled(found.intercepts, found.psi @ design.T, features.mean, features.scale)
        self.n_iter_ = found.iterations
        self._set_boundaries(X, *lines)
        return self


class LogisticStepsClassifier(OrdinalClassifier):
    """A logistic regression, without penalty, for every boundary by itself.

    For the last level this is plain logistic regression of the rare event: it learns nothing from the
    other steps. What the boundaries between say together is repaired where they cross.

    Parameters
    ----------
    levels : the labels in their order, lowest first; None for that of ordered categories or values.
    tol : as in scikit-learn's ``LogisticRegression``.
    max_iter : as there.

    Examples
    --------
    >>> from etude.estimate.ordinal.designs import sparse_differences
    >>> drawn = sparse_differences(n=500, p=4, seed=0)
    >>> LogisticStepsClassifier().fit(drawn.X, drawn.y).coef_.shape
    (4, 3)
    """

    def __init__(
        self, *, levels: Sequence[Any] | None = None, tol: float = 1e-8, max_iter: int = 1000
    ) -> None:
        self.levels = levels
        self.tol = tol
        self.max_iter = max_iter

    def fit(self, X: Any, y: Any) -> LogisticStepsClassifier:
        """Fit to ``X [n, p]``, dense, sparse or a data frame, and ordered labels ``y [n]``."""
        X, codes = self._validated(X, y)
        features = standardise(X)
        scaled = X / features.scale if isinstance(X, np.ndarray) else X.multiply(1 / features.scale).tocsr()
        lines = []
        for k in range(len(self.classes_) - 1):
            model = LogisticRegression(C=np.inf, tol=self.tol, max_iter=self.max_iter).fit(scaled, codes <= k)
            lines.append((float(model.intercept_[0]), model.coef_[0] / features.scale, int(model.n_iter_[0])))
        self.n_iter_ = sum(steps for *_, steps in lines)
        self._set_boundaries(X, np.array([i for i, *_ in lines]), np.array([c for _, c, _ in lines]).T)
        return self
