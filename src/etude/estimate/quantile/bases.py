"""Base models: anything that predicts quantiles, made to answer to one call.

A model's own interface tells how it is asked for several levels (`at_levels`). Three estimators are brought
along: nearest neighbours' empirical quantiles, a conditional Gaussian, and one network for all levels.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.neighbors import NearestNeighbors
from sklearn.utils.validation import check_is_fitted, validate_data

from etude.errors import InputError, unknown
from etude.estimate.quantile.scores import Array

Predict = Callable[[Any], Array]
"""From features ``[n, d]`` to quantiles ``[n, m]``."""


def at_levels(model: Any, X: Any, y: Array, levels: Array) -> Predict:
    """Fit a clone of ``model``, or one for each level, and return what predicts all levels.

    Understood are, in this order: a parameter ``levels`` and a method ``predict_quantiles``; ``predict``
    with an argument ``quantiles`` (quantile-forest); a parameter ``quantile`` (scikit-learn's
    ``QuantileRegressor`` and histogram boosting, whose loss is set to "quantile"); a parameter ``alpha``
    beside ``loss="quantile"`` or ``objective="quantile"`` (gradient boosting, LightGBM).

    Raises
    ------
    InputError : naming ``models``, if none of these fits.
    """
    parameters = model.get_params() if hasattr(model, "get_params") else {}
    if "levels" in parameters and hasattr(model, "predict_quantiles"):
        fitted = clone(model).set_params(levels=levels.tolist()).fit(X, y)
        return partial(_own, fitted)
    if hasattr(model, "predict") and "quantiles" in inspect.signature(model.predict).parameters:
        fitted = clone(model).fit(X, y)
        return partial(_asked, fitted, levels.tolist())
    name = _level_parameter(parameters)
    if name is None:
        raise InputError(
            "models",
            f"{type(model).__name__} predicts no quantiles: it has neither predict_quantiles, nor "
            "predict(X, quantiles=...), nor a parameter quantile, nor alpha with a quantile loss",
        )
    several = [clone(model).set_params(**{name: float(level)}).fit(X, y) for level in levels]
    return partial(_one_each, several)


def _own(fitted: Any, X: Any) -> Array:
    return np.asarray(fitted.predict_quantiles(X), dtype=float)


def _asked(fitted: Any, levels: list[float], X: Any) -> Array:
    return np.asarray(fitted.predict(X, quantiles=levels), dtype=float)


def _one_each(several: Sequence[Any], X: Any) -> Array:
    return np.stack([np.asarray(each.predict(X), dtype=float) for each in several], axis=1)


def _level_parameter(parameters: dict[str, Any]) -> str | None:
    losses = (parameters.get("loss"), parameters.get("objective"))
    if "quantile" in parameters and ("loss" not in parameters or "quantile" in losses):
        return "quantile"
    return "alpha" if "alpha" in parameters and "quantile" in losses else None


def base_models(names: Sequence[str]) -> dict[str, Any]:
    """Models by name: see `BASES`.

    Raises
    ------
    InputError : naming ``models``, for a name that is unknown.
    """
    for name in names:
        if name not in BASES:
            raise unknown("models", name, BASES)
    return {name: BASES[name]() for name in names}


class NeighbourQuantiles(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Empirical quantiles of the targets of the nearest rows.

    Parameters
    ----------
    levels : ascending in (0, 1).
    neighbours : how many rows.

    Examples
    --------
    >>> X = np.arange(10.0)[:, None]
    >>> NeighbourQuantiles(levels=[0.5], neighbours=3).fit(X, X[:, 0]).predict_quantiles(X[4:5]).tolist()
    [[4.0]]
    """

    def __init__(self, levels: Sequence[float] = (0.5,), neighbours: int = 50) -> None:
        self.levels = levels
        self.neighbours = neighbours

    def fit(self, X: Any, y: Any) -> NeighbourQuantiles:
        """Keep standardised features ``X [n, d]`` and targets ``y [n]``."""
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        self.mean_, deviation = X.mean(axis=0), X.std(axis=0)
        self.scale_ = np.where(deviation > 0, deviation, 1.0)
        self.y_ = y
        count = min(self.neighbours, len(y))
        self.index_ = NearestNeighbors(n_neighbors=count).fit((X - self.mean_) / self.scale_)
        return self

    def predict_quantiles(self, X: Any) -> Array:
        """``[n, m]``."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        near = self.index_.kneighbors((X - self.mean_) / self.scale_, return_distance=False)
        found: Array = np.quantile(self.y_[near], self.levels, axis=1).T
        return found

    def predict(self, X: Any) -> Array:
        """The level nearest to one half, ``[n]``."""
        return self.predict_quantiles(X)[:, int(np.abs(np.asarray(self.levels) - 0.5).argmin())]


def _linear() -> Any:
    from sklearn.linear_model import QuantileRegressor

    return QuantileRegressor(alpha=0.0, solver="highs")


def _boosting() -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(
        loss="quantile",
        quantile=0.5,
        max_iter=60,
        min_samples_leaf=10,
        max_leaf_nodes=10,
        early_stopping=False,
    )


def _forest() -> Any:
    from quantile_forest import RandomForestQuantileRegressor

    return RandomForestQuantileRegressor(n_estimators=50, min_samples_leaf=8)


def _extra_trees() -> Any:
    from quantile_forest import ExtraTreesQuantileRegressor

    return ExtraTreesQuantileRegressor(n_estimators=50, min_samples_leaf=8)


def _gaussian() -> Any:
    from etude.estimate.quantile.networks import GaussianNetwork

    return GaussianNetwork()


def _network(penalty: float) -> Any:
    from etude.estimate.quantile.networks import QuantileNetwork

    return QuantileNetwork(penalty=penalty)


BASES: dict[str, Callable[[], Any]] = {
    "linear": _linear,
    "boosting": _boosting,
    "forest": _forest,
    "extra-trees": _extra_trees,
    "neighbours": NeighbourQuantiles,
    "gaussian": _gaussian,
    "network": lambda: _network(0.0),
    "joint-network": lambda: _network(1.0),
}
"""What a task's ``models`` may name. The paper's six are gaussian, network, joint-network, forest,
extra-trees and boosting (there LightGBM)."""
