"""Pictures of an ordinal model: its path, and how well the rare level is calibrated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from etude.estimate.ordinal.likelihood import Array
from etude.estimate.ordinal.scores import calibration_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from etude.estimate.ordinal.penalised import PenalisedClassifier

BINS = 10


def plot_path(model: PenalisedClassifier) -> Figure:
    """Weights of every boundary against the penalty, one panel a boundary, and the cross-validation below.

    Lines that differ between panels are steps that do not follow proportional odds. The chosen penalty is
    the dotted line.
    """
    from matplotlib.figure import Figure

    boundaries, scored = model.path_coef_.shape[2], hasattr(model, "cv_brier_")
    figure = Figure(figsize=(2.9 * boundaries, 5.0 if scored else 3.2), dpi=150, layout="constrained")
    grid = figure.add_gridspec(2 if scored else 1, boundaries, height_ratios=[2, 1] if scored else [1])
    panels: list[Any] = []
    for k in range(boundaries):
        axes = figure.add_subplot(grid[0, k], sharey=panels[0] if panels else None)
        panels.append(axes)
        axes.semilogx(model.lams_, model.path_coef_[:, :, k], linewidth=1.1)
        axes.axhline(0, color="0.7", linewidth=0.6, zorder=0)
        axes.set_title(f"≤ {model.classes_[k]}  |  ≥ {model.classes_[k + 1]}", fontsize=9)
        _penalty_axis(axes, model)
    panels[0].set_ylabel("weight")
    if scored:
        axes = figure.add_subplot(grid[1, :])
        mean = model.cv_brier_.mean(axis=1)
        spread = model.cv_brier_.std(axis=1) / np.sqrt(model.cv_brier_.shape[1])
        axes.errorbar(model.lams_, mean, spread, color="#2563ae", linewidth=1.1, elinewidth=0.6)
        axes.set_xscale("log")
        axes.set_ylabel("Brier, held out")
        _penalty_axis(axes, model)
    return figure


def plot_calibration(
    happened: NDArray[np.bool_], predictions: Mapping[str, Array], bins: int = BINS
) -> Figure:
    """Observed against predicted frequency of the rare level, in bins of equally many rows.

    Parameters
    ----------
    happened : whether a row is of the rare level, ``[n]``.
    predictions : its probability by each model, ``[n]``, by the model's name.
    bins : how many.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 4.2), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    top = 0.0
    for (name, predicted), marker in zip(predictions.items(), "osD^vPX*" * len(predictions), strict=False):
        table = calibration_table(happened, predicted, bins)
        axes.plot(table[:, 0], table[:, 1], marker=marker, markersize=4, linewidth=1, label=name)
        top = max(top, float(table[:, :2].max()))
    axes.plot([0, top], [0, top], color="0.6", linewidth=0.8, linestyle="--", zorder=0)
    axes.set_xlabel("predicted probability of the rare level")
    axes.set_ylabel("observed frequency")
    axes.legend(frameon=False, fontsize=8)
    return figure


def _penalty_axis(axes: Any, model: PenalisedClassifier) -> None:
    axes.axvline(model.lam_, color="0.4", linewidth=0.8, linestyle=":")
    axes.set_xlabel("penalty")
    axes.tick_params(labelsize=8)
