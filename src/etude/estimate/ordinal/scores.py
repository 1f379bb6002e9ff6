"""How good probabilities of ordered levels are, and those of the rare last one above all."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from etude.estimate.ordinal.likelihood import Array
from etude.estimate.ordinal.validation import brier


def scores(y: NDArray[np.intp], probabilities: Array) -> Mapping[str, float]:
    """Figures of probabilities ``[n, K]`` for levels ``y [n]`` that came to pass.

    ``brier`` and ``log_loss`` are of all levels (probabilities floored at 1e-15); ``rare_brier``,
    ``rare_calibration`` (`calibration_error`) and ``rare_precision`` (average precision) of the last.
    """
    from sklearn.metrics import average_precision_score

    rare, predicted = y == probabilities.shape[1] - 1, probabilities[:, -1]
    right = probabilities[np.arange(len(y)), y]
    found = {
        "brier": brier(y, probabilities),
        "log_loss": float(-np.mean(np.log(np.maximum(right, 1e-15)))),
        "rare_brier": float(np.mean((predicted - rare) ** 2)),
        "rare_calibration": calibration_error(rare, predicted),
    }
    if rare.any():
        found["rare_precision"] = float(average_precision_score(rare, predicted))
    return found


def calibration_error(happened: NDArray[np.bool_], predicted: Array, bins: int | None = None) -> float:
    """Mean squared difference of predicted and observed frequency, over bins of equally many rows.

    Parameters
    ----------
    happened : whether the event came to pass, ``[n]``.
    predicted : its probability, ``[n]``.
    bins : how many; None for max(n / 100, 10), as in the paper.

    Examples
    --------
    >>> calibration_error(np.array([False, True, False, True]), np.full(4, 0.5), bins=2)
    0.0

    References
    ----------
    Faletto and Bien, ICML 2023, real data.
    """
    table = calibration_table(happened, predicted, bins)
    return float(np.average((table[:, 0] - table[:, 1]) ** 2, weights=table[:, 2]))


def calibration_table(happened: NDArray[np.bool_], predicted: Array, bins: int | None = None) -> Array:
    """Mean prediction, observed frequency and rows of each bin of the ordered rows, ``[bins, 3]``."""
    n = len(predicted)
    order = np.argsort(predicted, kind="stable")
    count = min(n, max(round(n / 100), 10) if bins is None else bins)
    parts = np.array_split(order, count)
    return np.array([[predicted[part].mean(), happened[part].mean(), len(part)] for part in parts])
