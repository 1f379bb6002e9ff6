"""Pictures of quantiles: are they where they say, and who is weighted where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from etude.estimate.quantile.scores import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_reliability(predictions: Mapping[str, Array], y: Array, levels: Array) -> Figure:
    """Share of targets below each quantile, against its level; the diagonal is perfect.

    Parameters
    ----------
    predictions : quantiles ``[n, m]`` by the name of what predicted them.
    y : targets, ``[n]``.
    levels : ``[m]``.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 4.2), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    for (name, quantiles), marker in zip(predictions.items(), "osD^vPX*" * len(predictions), strict=False):
        below = (y[:, None] <= quantiles).mean(axis=0)
        axes.plot(levels, below - levels, marker=marker, markersize=3.5, linewidth=1, label=name)
    n = len(y)
    band = 1.96 * np.sqrt(levels * (1 - levels) / n)
    axes.fill_between(levels, -band, band, color="0.9", zorder=0, label=f"95 % by chance, n={n}")
    axes.axhline(0, color="0.6", linewidth=0.8, linestyle="--", zorder=1)
    axes.set_xlabel("level")
    axes.set_ylabel("share of targets below the quantile, minus level")
    axes.legend(frameon=False, fontsize=8)
    return figure


def plot_weights(weights: Array, levels: Array, names: Sequence[str]) -> Figure:
    """How much each model counts at each level, over some rows: mean, and the middle 80 % of rows.

    Parameters
    ----------
    weights : of a learned aggregator, ``[n, p, 1]``, ``[n, p, m]`` or ``[n, p, m, m]`` (`Learned.weights`).
    levels : ``[m]``.
    names : of the models.
    """
    from matplotlib.figure import Figure

    shares = (
        weights.sum(axis=2)
        if weights.ndim == 4
        else np.broadcast_to(weights, (len(weights), len(names), len(levels)))
    )
    figure = Figure(figsize=(4.8, 3.6), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    for number, name in enumerate(names):
        low, high = np.quantile(shares[:, number], [0.1, 0.9], axis=0)
        (line,) = axes.plot(levels, shares[:, number].mean(axis=0), linewidth=1.3, label=name)
        axes.fill_between(levels, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    axes.set_ylim(0, 1)
    axes.set_xlabel("level")
    axes.set_ylabel("weight")
    axes.legend(frameon=False, fontsize=8)
    return figure
