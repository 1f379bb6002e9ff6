"""The arguments of the task's verb, checked."""

from __future__ import annotations

from typing import Any

import numpy as np

from etude.errors import InputError
from etude.estimate.quantile.scores import Array, check_levels
from etude.estimate.tables import check_features, check_target


def check_given(z: Any, y: Any, X: Any, levels: Any) -> tuple[Array, Array, Array, Array]:
    """Base quantiles ``[n, p, m]``, targets ``[n]``, features ``[n, d]`` and levels ``[m]`` as numbers.

    Raises
    ------
    InputError : naming the argument that is malformed.
    """
    try:
        levels = np.asarray(levels, dtype=float)
    except (TypeError, ValueError) as error:
        raise InputError("levels", "are not numbers") from error
    check_levels(levels)
    try:
        z = np.asarray(z, dtype=float)
    except (TypeError, ValueError) as error:
        raise InputError("z", "is not numbers") from error
    if z.ndim != 3 or 0 in z.shape:
        raise InputError("z", f"has shape {z.shape}; rows, models and levels are needed")
    if z.shape[2] != len(levels):
        raise InputError("z", f"has {z.shape[2]} quantiles a model for {len(levels)} levels")
    if not np.isfinite(z).all():
        raise InputError("z", "holds NaN or infinity")
    y = check_target(y, len(z))
    if y.dtype.kind not in "buif":
        raise InputError("y", "is not numbers")
    check_features(X)
    X = np.asarray(X, dtype=float)
    if len(X) != len(z):
        raise InputError("X", f"has {len(X)} rows for {len(z)} of z")
    return z, y.astype(float), X, levels


def middle(levels: Array) -> int:
    """The index of the level nearest to one half."""
    return int(np.abs(levels - 0.5).argmin())
