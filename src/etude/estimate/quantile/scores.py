"""How good predicted quantiles are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from etude.errors import InputError

Array = NDArray[np.float64]


def check_levels(levels: Array) -> None:
    """Raise `InputError` naming ``levels`` unless they ascend strictly inside (0, 1)."""
    if levels.ndim != 1 or len(levels) == 0:
        raise InputError("levels", "are no list of numbers")
    if not ((levels > 0) & (levels < 1)).all():
        raise InputError(
            "levels", f"lie outside (0, 1): {levels[~((levels > 0) & (levels < 1))][:3].tolist()}"
        )
    if not (np.diff(levels) > 0).all():
        raise InputError("levels", "are not in ascending order, or one is given twice; sort them")


def pinball_losses(quantiles: Array, y: Array, levels: Array) -> Array:
    """``max(tau r, (tau - 1) r)`` with ``r = y - q`` for each row and level, ``[n, m]``.

    Examples
    --------
    >>> pinball_losses(np.array([[0.0, 2.0]]), np.array([1.0]), np.array([0.1, 0.9])).round(3).tolist()
    [[0.1, 0.1]]
    """
    residual = y[:, None] - quantiles
    losses: Array = np.maximum(levels * residual, (levels - 1) * residual)
    return losses


def weighted_interval_score(quantiles: Array, y: Array, levels: Array) -> float:
    """Mean over rows of twice the pinball losses summed over the levels.

    For symmetric levels that is the sum over central intervals [l, u] of level 1 - a of
    ``a (u - l) + 2 dist(y, [l, u])``, plus the absolute error of the median.

    References
    ----------
    Bracher, Ray, Gneiting and Reich, "Evaluating epidemic forecasts in an interval format", PLOS
    Computational Biology 17(2), 2021.
    """
    return float(2 * pinball_losses(quantiles, y, levels).sum(axis=1).mean())


def interval(quantiles: Array, levels: Array, coverage: float) -> tuple[Array, Array]:
    """The ends of the central interval of a coverage, ``[n]`` each.

    Raises
    ------
    InputError : naming ``coverage``, if the two levels are not among those predicted.
    """
    tail = (1 - coverage) / 2
    places = [int(np.abs(levels - level).argmin()) for level in (tail, 1 - tail)]
    if any(abs(levels[place] - level) > 1e-9 for place, level in zip(places, (tail, 1 - tail), strict=True)):
        raise InputError("coverage", f"{coverage} needs the levels {tail:.4g} and {1 - tail:.4g}")
    return quantiles[:, places[0]], quantiles[:, places[1]]


def scores(quantiles: Array, y: Array, levels: Array, coverage: float = 0.8) -> dict[str, float]:
    """``wis``, ``pinball``, ``coverage`` and ``width`` of one interval, ``miscalibration``, ``crossings``.

    Miscalibration is the mean over the levels of how far the share of ``y`` below a quantile is from its
    level; crossings are the share of rows that are not in order.
    """
    low, high = interval(quantiles, levels, coverage)
    below = (y[:, None] <= quantiles).mean(axis=0)
    return {
        "wis": weighted_interval_score(quantiles, y, levels),
        "pinball": float(pinball_losses(quantiles, y, levels).mean()),
        "coverage": float(((low <= y) & (y <= high)).mean()),
        "width": float((high - low).mean()),
        "miscalibration": float(np.abs(below - levels).mean()),
        "crossings": float((np.diff(quantiles, axis=1) < 0).any(axis=1).mean()),
    }
