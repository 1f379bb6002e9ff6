"""Ordered outcomes with a rare last level: scikit-learn classifiers, and methods that fit them.

The classifiers need the extra ``estimate`` and are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from etude.estimate.extra import require_extra
from etude.estimate.ordinal.logistic_steps import LogisticSteps
from etude.estimate.ordinal.ordinal_net import OrdinalNet
from etude.estimate.ordinal.presto import Presto
from etude.estimate.ordinal.proportional_odds import ProportionalOdds

if TYPE_CHECKING:
    from etude.estimate.ordinal.penalised import OrdinalNetClassifier, PrestoClassifier
    from etude.estimate.ordinal.plots import plot_calibration, plot_path
    from etude.estimate.ordinal.saving import load, save
    from etude.estimate.ordinal.unpenalised import LogisticStepsClassifier, ProportionalOddsClassifier

__all__ = [
    "LogisticSteps",
    "LogisticStepsClassifier",
    "OrdinalNet",
    "OrdinalNetClassifier",
    "Presto",
    "PrestoClassifier",
    "ProportionalOdds",
    "ProportionalOddsClassifier",
    "load",
    "plot_calibration",
    "plot_path",
    "save",
]

_HOMES = {
    "LogisticStepsClassifier": "unpenalised",
    "OrdinalNetClassifier": "penalised",
    "PrestoClassifier": "penalised",
    "ProportionalOddsClassifier": "unpenalised",
    "load": "saving",
    "plot_calibration": "plots",
    "plot_path": "plots",
    "save": "saving",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    require_extra()
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
