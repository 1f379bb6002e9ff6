"""A detector's scores as a picture: where it is sure, and whether its probabilities are right."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from etude.explain.detection.calibration import Calibration

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HUMAN, MACHINE = "#2563ae", "#d1495b"
BINS = 5
"""Of equal numbers of texts, for the probabilities."""


def picture(calibration: Calibration, scores: Tensor, labels: Tensor, error: float, title: str) -> bytes:
    """A PNG of scores of texts that the detector never saw, by label, and of its reliability.

    On the left the scores of people's and of machines' texts, and grey where the detector is unsure; on the
    right the share of machines' texts against the probability that was given, in bins of equal numbers.

    Examples
    --------
    >>> scores, labels = torch.arange(40.0), torch.tensor([0, 1]).repeat_interleave(20)
    >>> picture(Calibration.of(scores, labels), scores, labels, 0.1, "a detector")[1:4]
    b'PNG'
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.6, 3.4), dpi=150, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    _scores(left, calibration, scores.double(), labels, error)
    _reliability(right, calibration.probabilities(scores), labels)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def bands(calibration: Calibration, low: float, high: float, error: float) -> list[tuple[float, float]]:
    """The runs of scores from ``low`` to ``high`` where the detector is unsure, to a thousandth of it."""
    grid = torch.linspace(low, high, 1001, dtype=torch.float64)
    found: list[tuple[float, float]] = []
    inside = False
    for score, verdict in zip(grid.tolist(), calibration.verdicts(grid, error), strict=True):
        if verdict == "unsure":
            found = [*found[:-1], (found[-1][0], score)] if inside else [*found, (score, score)]
        inside = verdict == "unsure"
    return found


def _scores(axes: Axes, calibration: Calibration, scores: Tensor, labels: Tensor, error: float) -> None:
    low, high = float(scores.min()), float(scores.max())
    edges = torch.linspace(low, high, 21).tolist()
    for start, end in bands(calibration, low, high, error):
        axes.axvspan(start, end, color="#dddddd", linewidth=0, zorder=0)
    several: Sequence[tuple[int, str, str]] = ((0, "people", HUMAN), (1, "machines", MACHINE))
    for label, name, colour in several:
        axes.hist(scores[labels == label].tolist(), bins=edges, color=colour, alpha=0.65, label=name)
    axes.set_xlabel(f"score (grey: unsure at {error:.0%} error)")
    axes.set_ylabel("texts")
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _reliability(axes: Axes, chances: Tensor, labels: Tensor) -> None:
    order = chances.argsort()
    parts = [part for part in torch.tensor_split(order, BINS) if len(part)]
    given = [float(chances[part].mean()) for part in parts]
    found = [float((labels[part] == 1).double().mean()) for part in parts]
    axes.plot([0, 1], [0, 1], color="#888888", linewidth=1, linestyle="--")
    axes.plot(given, found, color=MACHINE, marker="o")
    axes.set_xlabel("probability of machine that was given")
    axes.set_ylabel("share of machines' texts")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.spines[["top", "right"]].set_visible(False)
