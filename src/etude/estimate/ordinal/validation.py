"""Which penalty predicts best: cross-validation by the Brier score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from etude.errors import InputError
from etude.estimate.ordinal.likelihood import Array
from etude.progress import track

Split = tuple[NDArray[np.intp], NDArray[np.intp]]


def folds(y: NDArray[np.intp], groups: Any, most: int, random_state: int | None) -> list[Split]:
    """Shuffled folds in which every level occurs, on both sides; rows of one group stay together.

    There are fewer than ``most`` folds if a level has fewer rows (or groups) than that.

    Raises
    ------
    InputError : if a level has only one row (or group), or no division keeps every level on both sides.
    """
    if groups is None:
        rarest = int(np.bincount(y).min())
        unit = "row"
    else:
        rarest = min(len(set(np.asarray(groups)[y == level].tolist())) for level in np.unique(y))
        unit = "group"
    count = min(most, rarest)
    if count < 2:
        raise InputError("y", f"a level has only one {unit}: too few to hold out; give lam instead of cv")
    while count >= 2:
        kind = StratifiedKFold if groups is None else StratifiedGroupKFold
        splits = list(kind(count, shuffle=True, random_state=random_state).split(y, y, groups))
        if all(len(set(y[part])) == len(set(y)) for split in splits for part in split):
            return splits
        count -= 1
    raise InputError("groups", "leave some level out of every division into folds; give lam instead of cv")


def brier(y: NDArray[np.intp], probabilities: Array) -> float:
    """Mean over rows of the summed squared differences to the one-hot outcome, in [0, 2].

    Examples
    --------
    >>> brier(np.array([0, 1]), np.array([[1.0, 0.0], [0.5, 0.5]]))
    0.25
    """
    right = probabilities[np.arange(len(y)), y]
    return float(np.mean((probabilities**2).sum(axis=1) - 2 * right + 1))


def cross_validate(
    fit_path: Callable[[NDArray[np.intp]], Sequence[Callable[[NDArray[np.intp]], Array]]],
    y: NDArray[np.intp],
    splits: Sequence[Split],
) -> Array:
    """Brier score of every penalty on every fold, ``[penalties, folds]``.

    Parameters
    ----------
    fit_path : from training rows to one function for each penalty, from rows to their probabilities.
    y : levels from 0.
    splits : training and held-out rows.
    """
    columns = []
    for train, held in track(splits, "folds"):
        columns.append([brier(y[held], predict(held)) for predict in fit_path(train)])
    return np.array(columns).T
