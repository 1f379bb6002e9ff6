"""Aggregation of quantile models: methods that combine them, and one estimator that does it all.

The estimators need the extra ``estimate`` and are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from etude.estimate.extra import require_extra
from etude.estimate.quantile.average import QuantileAverage
from etude.estimate.quantile.best_model import BestModel
from etude.estimate.quantile.dqa import Dqa
from etude.estimate.quantile.stacking import Qra

if TYPE_CHECKING:
    from etude.estimate.quantile.bases import NeighbourQuantiles
    from etude.estimate.quantile.networks import GaussianNetwork, QuantileNetwork
    from etude.estimate.quantile.plots import plot_reliability, plot_weights
    from etude.estimate.quantile.regressor import QuantileAggregator
    from etude.estimate.quantile.saving import load, save

__all__ = [
    "BestModel",
    "Dqa",
    "GaussianNetwork",
    "NeighbourQuantiles",
    "Qra",
    "QuantileAggregator",
    "QuantileAverage",
    "QuantileNetwork",
    "load",
    "plot_reliability",
    "plot_weights",
    "save",
]

_HOMES = {
    "GaussianNetwork": "networks",
    "NeighbourQuantiles": "bases",
    "QuantileAggregator": "regressor",
    "QuantileNetwork": "networks",
    "load": "saving",
    "plot_reliability": "plots",
    "plot_weights": "plots",
    "save": "saving",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    require_extra()
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
