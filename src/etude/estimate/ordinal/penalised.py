"""Penalised ordinal classifiers: PRESTO and ordinalNet, which differ in what the penalty acts on."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from etude.errors import InputError
from etude.estimate.ordinal import path
from etude.estimate.ordinal.classifier import OrdinalClassifier, unscaled
from etude.estimate.ordinal.features import standardise
from etude.estimate.ordinal.likelihood import Array, class_probabilities
from etude.estimate.ordinal.path import Fit, Problem
from etude.estimate.ordinal.validation import cross_validate, folds


class PenalisedClassifier(OrdinalClassifier):
    """A whole path of penalties, and the one of them that predicts best.

    Attributes
    ----------
    lam_ : the chosen penalty; of several that score alike, the largest.
    lams_ : the path, descending, ``[L]``.
    path_intercept_, path_coef_ : the boundaries at each penalty, ``[L, K-1]`` and ``[L, p, K-1]``.
    cv_brier_ : Brier score of each penalty on each fold, ``[L, folds]``; absent if ``lam`` was given.
    objective_ : mean negative log-likelihood and penalty at each penalty, ``[L]``.
    n_iter_ : Newton steps of the whole path.
    """

    lam: float | None
    n_lams: int
    lam_min_ratio: float
    l1_ratio: float
    cv: int
    tol: float
    max_iter: int
    random_state: int | None

    def fit(self, X: Any, y: Any, groups: Any = None) -> Any:
        """Fit the path and choose its best penalty.

        Parameters
        ----------
        X : ``[n, p]``, dense, sparse or a data frame of numbers.
        y : ordered labels, ``[n]``.
        groups : rows of one group are never on both sides of a fold; ``[n]``, None for single rows.

        Raises
        ------
        InputError : naming ``y``, ``levels``, ``groups`` or the parameter at fault.
        """
        self._check_parameters()
        X, codes = self._validated(X, y)
        if groups is not None and len(groups) != len(codes):
            raise InputError("groups", f"has {len(groups)} entries for {len(codes)} rows")
        splits = [] if self.lam is not None else folds(codes, groups, self.cv, self.random_state)
        problem = self._problem(X, codes)
        null = problem.null(max_iter=self.max_iter)
        self.lams_ = self._path(problem.largest(null))
        fits = self._fits(problem)
        best = 0
        if splits:
            self.cv_brier_ = cross_validate(partial(self._predictors, X, codes), codes, splits)
            best = int(self.cv_brier_.mean(axis=1).argmin())  # the first of equals: the largest penalty
        self._keep(X, problem, fits, best)
        return self

    def _keep(self, X: Any, problem: Problem, fits: Sequence[Fit], best: int) -> None:
        lines = [_boundaries(problem, fit) for fit in fits]
        self.path_intercept_ = np.array([intercept for intercept, _ in lines])
        self.path_coef_ = np.array([coef for _, coef in lines])
        self.objective_ = np.array([fit.objective for fit in fits])
        self.n_iter_ = sum(fit.iterations for fit in fits)
        self.lam_ = float(self.lams_[best])
        self._set_boundaries(X, *lines[best])

    def _check_parameters(self) -> None:
        for name, least in (("n_lams", 1), ("cv", 2), ("max_iter", 1)):
            if getattr(self, name) < least:
                raise InputError(name, f"{getattr(self, name)} is not >= {least}")
        if self.lam is not None and not 0 <= self.lam < np.inf:
            raise InputError("lam", f"{self.lam} is not in [0, inf)")
        if not 0 < self.lam_min_ratio < 1:
            raise InputError("lam_min_ratio", f"{self.lam_min_ratio} is not in (0, 1)")
        if not 0 <= self.l1_ratio <= 1:
            raise InputError("l1_ratio", f"{self.l1_ratio} is not in [0, 1]")
        if not self.tol > 0:
            raise InputError("tol", f"{self.tol} is not > 0")

    def _path(self, largest: float) -> Array:
        if self.lam is not None:
            return np.array([self.lam])
        top = largest if largest > 0 else 1.0
        return top * np.logspace(0, np.log10(self.lam_min_ratio), self.n_lams)

    def _problem(self, X: Any, codes: NDArray[np.intp]) -> Problem:
        design, penalised = self._design(int(codes.max()))
        return Problem(standardise(X), codes, design, penalised, self.l1_ratio)

    def _design(self, boundaries: int) -> tuple[Array, Array]:
        """T, and the factor of the penalty for each of its columns."""
        raise NotImplementedError

    def _fits(self, problem: Problem) -> list[Fit]:
        return problem.path(self.lams_.tolist(), tol=self.tol, max_iter=self.max_iter)

    def _predictors(
        self, X: Any, codes: NDArray[np.intp], train: NDArray[np.intp]
    ) -> list[Callable[[NDArray[np.intp]], Array]]:
        """One for each penalty, fitted to some rows: from rows to probabilities."""
        problem = self._problem(X[train], codes[train])
        lines = [_boundaries(problem, fit) for fit in self._fits(problem)]
        return [partial(_probabilities, X, intercept, coef) for intercept, coef in lines]


class PrestoClassifier(PenalisedClassifier):
    """One boundary a step of an ordered funnel; what is penalised is how much neighbours differ.

    Minimises the mean negative log-likelihood of the cumulative-logit model plus
    ``lam * (sum_j |beta_j1| + sum_j sum_k |beta_jk - beta_j,k-1|)`` over standardised features. At large
    ``lam`` all boundaries are parallel (proportional odds) or nothing is left; at small ``lam`` each is free.

    With two levels there is no neighbour to learn from: the model is L1 logistic regression, and a warning
    says so.

    Parameters
    ----------
    lam : strength of the penalty; None to choose from a path by cross-validation.
    n_lams : penalties on the path.
    lam_min_ratio : smallest penalty of the path, as a share of the largest.
    l1_ratio : share of the absolute value in the penalty; the rest goes to half the square (0: ridge).
    penalize_first : whether the first boundary's weights are penalised too.
    cv : folds, stratified; fewer where a level has fewer rows.
    levels : the labels in their order, lowest first; None for that of ordered categories or values.
    tol : largest distance of 0 from the subgradients at a solution.
    max_iter : Newton steps for one penalty, at most.
    random_state : seed of the folds.

    Examples
    --------
    >>> from etude.estimate.ordinal.designs import sparse_differences
    >>> drawn = sparse_differences(n=500, p=4, seed=0)
    >>> model = PrestoClassifier(random_state=0).fit(drawn.X, drawn.y)
    >>> model.predict_proba(drawn.X[:2]).shape, model.coef_.shape
    ((2, 4), (4, 3))

    References
    ----------
    Faletto and Bien, "Predicting Rare Events by Shrinking Towards Proportional Odds", ICML 2023.
    arXiv:2305.18700.
    """

    def __init__(
        self,
        lam: float | None = None,
        *,
        n_lams: int = 20,
        lam_min_ratio: float = 0.01,
        l1_ratio: float = 1.0,
        penalize_first: bool = True,
        cv: int = 5,
        levels: Sequence[Any] | None = None,
        tol: float = 1e-7,
        max_iter: int = 100,
        random_state: int | None = None,
    ) -> None:
        self.lam = lam
        self.n_lams = n_lams
        self.lam_min_ratio = lam_min_ratio
        self.l1_ratio = l1_ratio
        self.penalize_first = penalize_first
        self.cv = cv
        self.levels = levels
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state

    def changes(self) -> list[tuple[str, Any, Any, float]]:
        """Where the lines are not parallel: (feature, level below, level above, change of its weight).

        The change at the boundary between two levels is against the boundary before it, in the units of
        the feature. Empty where proportional odds suffice.
        """
        names = getattr(self, "feature_names_in_", [f"x{j}" for j in range(self.n_features_in_)])
        steps = np.diff(self.coef_, axis=1)
        return [
            (str(names[j]), self.classes_[k + 1], self.classes_[k + 2], float(steps[j, k]))
            for j, k in zip(*np.nonzero(np.abs(steps) > 1e-12), strict=True)
        ]

    def _design(self, boundaries: int) -> tuple[Array, Array]:
        if boundaries == 1:
            warnings.warn(
                "two levels: no neighbour to learn from, this is L1 logistic regression", stacklevel=3
            )
        penalised = np.ones(boundaries)
        penalised[0] = float(self.penalize_first)
        return path.differences(boundaries), penalised


class OrdinalNetClassifier(PenalisedClassifier):
    """The elastic net for cumulative-logit models, without a penalty on differences of neighbours.

    Parameters
    ----------
    form : "nonparallel", where the weights of every boundary are shrunk to 0, or "semiparallel", where
        they are a shared part and a deviation, both shrunk.
    lam, n_lams, lam_min_ratio, l1_ratio, cv, levels, tol, max_iter, random_state : as in `PrestoClassifier`.

    Examples
    --------
    >>> from etude.estimate.ordinal.designs import sparse_differences
    >>> drawn = sparse_differences(n=500, p=4, seed=0)
    >>> model = OrdinalNetClassifier(lam=0.01).fit(drawn.X, drawn.y)
    >>> model.lam_, model.coef_.shape
    (0.01, (4, 3))

    References
    ----------
    Wurm, Rathouz and Hanlon, "Regularized Ordinal Regression and the ordinalNet R Package", Journal of
    Statistical Software 99(6), 2021.
    """

    def __init__(
        self,
        lam: float | None = None,
        *,
        form: Literal["nonparallel", "semiparallel"] = "nonparallel",
        n_lams: int = 20,
        lam_min_ratio: float = 0.01,
        l1_ratio: float = 1.0,
        cv: int = 5,
        levels: Sequence[Any] | None = None,
        tol: float = 1e-7,
        max_iter: int = 100,
        random_state: int | None = None,
    ) -> None:
        self.lam = lam
        self.form = form
        self.n_lams = n_lams
        self.lam_min_ratio = lam_min_ratio
        self.l1_ratio = l1_ratio
        self.cv = cv
        self.levels = levels
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state

    forms: ClassVar[dict[str, Callable[[int], Array]]] = {
        "nonparallel": path.separate,
        "semiparallel": path.semi_parallel,
    }

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.form not in self.forms:
            raise InputError("form", f"{self.form!r} is none of {', '.join(self.forms)}")

    def _design(self, boundaries: int) -> tuple[Array, Array]:
        design = self.forms[self.form](boundaries)
        return design, np.ones(design.shape[1])


def _boundaries(problem: Problem, fit: Fit) -> tuple[Array, Array]:
    """Of a fit, in the units of the features."""
    features = problem.features
    return unscaled(fit.intercepts, fit.psi @ problem.design.T, features.mean, features.scale)


def _probabilities(X: Any, intercept: Array, coef: Array, rows: NDArray[np.intp]) -> Array:
    return class_probabilities(X[rows] @ coef + intercept)[0]
