"""Quantiles of rows by models that were fitted without them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold, KFold

from etude.errors import InputError
from etude.estimate.quantile.bases import Predict, at_levels
from etude.estimate.quantile.scores import Array
from etude.progress import track


class Bases:
    """Base models fitted to some rows.

    Parameters
    ----------
    models : estimators by name.
    X, y : rows, ``[n, d]`` and ``[n]``.
    levels : ``[m]``.
    """

    def __init__(self, models: Mapping[str, Any], X: Array, y: Array, levels: Array) -> None:
        self._predict: list[Predict] = [at_levels(model, X, y, levels) for model in models.values()]

    def predict(self, X: Array) -> Array:
        """Quantiles of all models, ``[n, p, m]``."""
        return np.stack([predict(X) for predict in self._predict], axis=1)


def assign(rows: int, folds: int, groups: Any, random_state: Any) -> NDArray[np.intp]:
    """The fold of each row, shuffled; rows of one group share a fold.

    Raises
    ------
    InputError : naming ``folds``, if there are fewer rows or groups than folds.
    """
    units = rows if groups is None else len(set(np.asarray(groups).tolist()))
    if units < folds:
        raise InputError(
            "folds", f"{folds} are more than the {units} {'rows' if groups is None else 'groups'}"
        )
    kind = KFold if groups is None else GroupKFold
    found = np.empty(rows, dtype=np.intp)
    splits = kind(folds, shuffle=True, random_state=random_state).split(np.zeros(rows), groups=groups)
    for number, (_, held) in enumerate(splits):
        found[held] = number
    return found


def out_of_fold(
    models: Mapping[str, Any], X: Array, y: Array, levels: Array, fold: NDArray[np.intp]
) -> tuple[Array, dict[int, Bases]]:
    """Quantiles of every row by models that were fitted without its fold, ``[n, p, m]``; and these models."""
    z = np.empty((len(y), len(models), len(levels)))
    fitted = {}
    for number in track(np.unique(fold).tolist(), "folds"):
        held = fold == number
        fitted[number] = Bases(models, X[~held], y[~held], levels)
        z[held] = fitted[number].predict(X[held])
    return z, fitted


def without_pairs(
    models: Mapping[str, Any], X: Array, y: Array, levels: Array, fold: NDArray[np.intp]
) -> dict[int, Array]:
    """For each fold k, the quantiles of all other rows by models without k and without the row's own fold.

    Models without two folds serve both, so that K folds need K(K-1)/2 of them. Entry k is ``[n, p, m]``;
    its rows of fold k are NaN.
    """
    numbers = np.unique(fold).tolist()
    found = {k: np.full((len(y), len(models), len(levels)), np.nan) for k in numbers}
    both = [(k, other) for i, k in enumerate(numbers) for other in numbers[i + 1 :]]
    for k, other in track(both, "pairs of folds"):
        kept = (fold != k) & (fold != other)
        bases = Bases(models, X[kept], y[kept], levels)
        for held, away in ((k, other), (other, k)):
            found[held][fold == away] = bases.predict(X[fold == away])
    return found
