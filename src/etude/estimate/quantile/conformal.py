"""Conformal calibration: intervals that cover as often as they say, whatever the model.

For a pair of levels (a/2, 1 - a/2) the error of a row is how far it lies outside its interval, negative
inside; both ends move by an order statistic of the errors of rows that were not trained on. Coverage is
marginal: over rows like these, not at every x. Split calibration gives 1 - a, CV+ at least 1 - 2a.

References
----------
Romano, Patterson and Candès, "Conformalized Quantile Regression", NeurIPS 2019.
Barber, Candès, Ramdas and Tibshirani, "Predictive Inference with the Jackknife+", Annals of Statistics 49(1),
2021.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from etude.errors import InputError
from etude.estimate.quantile.scores import Array


def pairs(levels: Array) -> list[tuple[int, int]]:
    """Indices of the symmetric pairs of levels, outermost first.

    Raises
    ------
    InputError : naming ``levels``, if some level has no partner.

    Examples
    --------
    >>> pairs(np.array([0.1, 0.5, 0.9]))
    [(0, 2)]
    """
    if not np.allclose(levels + levels[::-1], 1.0, atol=1e-9):
        raise InputError("levels", "are not symmetric around one half, as intervals need")
    return [(i, len(levels) - 1 - i) for i in range(len(levels) // 2)]


def order_statistic(scores: Array, share: float) -> float:
    """The ``ceil(share * (n + 1))``-th smallest score; infinite if there are too few.

    Examples
    --------
    >>> order_statistic(np.arange(1.0, 10.0), 0.8), order_statistic(np.arange(3.0), 0.9)
    (8.0, inf)
    """
    place = int(np.ceil(share * (len(scores) + 1) - 1e-9))
    return float(np.sort(scores)[place - 1]) if place <= len(scores) else float("inf")


def offsets(quantiles: Array, y: Array, levels: Array, *, symmetric: bool = True) -> Array:
    """What is added to each level so that intervals cover, from rows that were held out, ``[m]``.

    Parameters
    ----------
    quantiles, y : of the held-out rows, ``[n, m]`` and ``[n]``.
    levels : symmetric around one half, ``[m]``.
    symmetric : whether both ends of an interval move alike; else each tail is calibrated by itself, at a/2.

    Raises
    ------
    InputError : naming ``levels`` (see `pairs`), or ``calibration`` if the rows are too few for a pair.
    """
    moved = np.zeros(len(levels))
    for low, high in pairs(levels):
        below, above = quantiles[:, low] - y, y - quantiles[:, high]
        tail = levels[low]
        if symmetric:
            moved[high] = order_statistic(np.maximum(below, above), 1 - 2 * tail)
            moved[low] = -moved[high]
        else:
            moved[low], moved[high] = (
                -order_statistic(below, 1 - tail),
                order_statistic(above, 1 - tail),
            )
        if not np.isfinite(moved[high]):
            raise InputError("calibration", f"{len(y)} rows are too few for level {tail:.4g}; hold out more")
    return moved


def calibrated(quantiles: Array, moved: Array) -> Array:
    """Quantiles moved by `offsets`, and sorted again: nested intervals stay as wide or grow."""
    return np.sort(quantiles + moved, axis=1)


def cv_plus(held: Array, y: Array, fold: NDArray[np.intp], new: Array, levels: Array) -> Array:
    """Quantiles of new rows by CV+, sorted, ``[r, m]``.

    Parameters
    ----------
    held : quantiles of each row by the model that was fitted without its fold, ``[n, m]``.
    y, fold : target and fold of each row, ``[n]``.
    new : quantiles of the new rows by the model of each fold, ``[folds, r, m]``.
    levels : symmetric around one half, ``[m]``; where it is one half, the folds' median is kept.
    """
    found = np.median(new, axis=0)
    n = len(y)
    for low, high in pairs(levels):
        a = 2 * levels[low]
        errors = np.maximum(held[:, low] - y, y - held[:, high])
        place_low = int(np.floor(a * (n + 1) + 1e-9))
        place_high = int(np.ceil((1 - a) * (n + 1) - 1e-9))
        if place_low < 1 or place_high > n:
            raise InputError("calibration", f"{n} rows are too few for level {levels[low]:.4g}")
        lower = np.sort(new[fold, :, low] - errors[:, None], axis=0)
        upper = np.sort(new[fold, :, high] + errors[:, None], axis=0)
        found[:, low], found[:, high] = lower[place_low - 1], upper[place_high - 1]
    return np.sort(found, axis=1)
