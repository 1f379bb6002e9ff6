"""What all ordinal classifiers share: levels and their order, linear boundaries, probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from etude.errors import InputError
from etude.estimate.ordinal.likelihood import Array, class_probabilities


class OrdinalClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier with one linear boundary between every two neighbouring levels.

    ``P(level <= k | x) = sigma(intercept_k + x'coef_k)`` for k = 1 .. K-1, so the last level, the rare one
    as a rule, has ``1 - sigma(intercept_(K-1) + x'coef_(K-1))``.

    Parameters
    ----------
    levels : the labels in their order, lowest first; None for the order of pandas categories where the
        labels are ordered ones, else for that of numbers or of the alphabet.

    Attributes
    ----------
    classes_ : the levels in their order, ``[K]``.
    intercept_ : ``[K-1]``.
    coef_ : in the units of the features, ``[p, K-1]``.
    n_repaired_ : rows of the training data whose boundaries cross, so that a probability had to be repaired.
    """

    levels: Sequence[Any] | None
    classes_: NDArray[Any]
    intercept_: Array
    coef_: Array
    n_repaired_: int

    def predict_proba(self, X: Any) -> Array:
        """Probabilities of the levels, ``[n, K]``: none negative, every row sums to 1."""
        return class_probabilities(self.decision_boundaries(X))[0]

    def predict(self, X: Any) -> NDArray[Any]:
        """The likeliest level of each row. For a rare level look at `predict_proba` instead."""
        likeliest = self.predict_proba(X).argmax(axis=1)
        named: NDArray[Any] = self.classes_[likeliest]
        return named

    def count_repaired(self, X: Any) -> int:
        """Rows whose boundaries cross, so that `predict_proba` had to repair them."""
        return int(class_probabilities(self.decision_boundaries(X))[1].sum())

    def decision_boundaries(self, X: Any) -> Array:
        """Linear predictors, ``[n, K-1]``; not in order where boundaries cross."""
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=np.float64, reset=False)
        eta: Array = X @ self.coef_ + self.intercept_
        return eta

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.classifier_tags.poor_score = True  # classes without an order are not what it is for
        return tags

    def _validated(self, X: Any, y: Any) -> tuple[Any, NDArray[np.intp]]:
        """Features as numbers and labels as codes from 0; sets ``classes_``.

        Raises
        ------
        InputError : naming ``y`` or ``levels``.
        """
        order = self._order(y)
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=np.float64)
        check_classification_targets(y)
        present = np.unique(y)
        classes = present if order is None else np.asarray(order)
        if len(present) < 2:
            raise InputError("y", f"has one class, {present[0]!r}; an ordinal model needs more")
        unknown = np.setdiff1d(present, classes)
        if len(unknown):
            raise InputError("levels", f"do not name {unknown[0]!r}, which y holds")
        self.classes_ = classes
        codes = np.searchsorted(classes, y) if order is None else _codes(classes, y)
        missing = np.flatnonzero(np.bincount(codes, minlength=len(classes)) == 0)
        if len(missing):
            raise InputError("y", f"has no row of level {classes[missing[0]]!r}; leave it out of the levels")
        return X, codes

    def _order(self, y: Any) -> list[Any] | None:
        """The order asked for, or that of pandas' ordered categories; None for the natural one."""
        if self.levels is not None:
            levels = list(self.levels)
            if len(set(levels)) < len(levels):
                raise InputError("levels", f"name a level twice: {levels}")
            return levels
        categorical = getattr(y, "cat", None)
        if categorical is None or not categorical.ordered:
            return None
        used = set(y.dropna())
        return [level for level in categorical.categories if level in used]

    def _set_boundaries(self, X: Any, intercept: Array, coef: Array) -> None:
        """Keep boundaries in the units of the features, and count the rows where they cross."""
        self.intercept_, self.coef_ = intercept, coef
        self.n_repaired_ = int(class_probabilities(X @ coef + intercept)[1].sum())


def _codes(classes: NDArray[Any], y: NDArray[Any]) -> NDArray[np.intp]:
    place = {label: code for code, label in enumerate(classes.tolist())}
    return np.array([place[label] for label in y.tolist()], dtype=np.intp)


def unscaled(intercepts: Array, weights: Array, mean: Array, scale: Array) -> tuple[Array, Array]:
    """Boundaries of standardised features, ``[K-1]`` and ``[p, K-1]``, in the features' own units."""
    coef = weights / scale[:, None]
    return intercepts - mean @ coef, coef
