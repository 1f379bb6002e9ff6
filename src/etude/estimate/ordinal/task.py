"""Ordered outcomes: a table in, probabilities of ordered levels out; the last, rare one matters most."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import annotated_types as at

from etude.errors import InputError
from etude.estimate.extra import require_extra
from etude.method import check_fields
from etude.task import Metric

if TYPE_CHECKING:
    from etude.estimate.ordinal.data import Outcomes, Parts

DRAWN = ("sparse-differences", "dense-differences", "equal-weights")
"""Data that is drawn anew for each seed, from models whose probabilities are known."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What an ordinal model is fitted to, and judged by.

    Parameters
    ----------
    data : a CSV or Parquet file; "set/table" of a set on this machine; or drawn: "sparse-differences",
        "dense-differences" or "equal-weights".
    target : the column with the ordered labels; needed for a table.
    levels : the labels in their order, lowest first, the rare one last, separated by commas; none for that
        of numbers or of ordered categories.
    group : a column that tells which rows share a source, so that they are never divided; none if none do.
    drop : columns that are no features, separated by commas.
    holdout : share of the rows of a table that is held out, a new draw for each seed.
    rows : how many rows to draw.
    features : how many features to draw.

    Raises
    ------
    InputError : if a field has the wrong type or is out of range.
    """

    data: str = "sparse-differences"
    target: str | None = None
    levels: tuple[str, ...] | None = None
    group: str | None = None
    drop: tuple[str, ...] = ()
    holdout: Annotated[float, at.Interval(gt=0, lt=1)] = 0.1
    rows: Annotated[int, at.Ge(50)] = 2500
    features: Annotated[int, at.Ge(1)] = 10

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Ordinal:
    """The task: methods answer to ``estimate(X, y, groups)`` with a fitted classifier."""

    name: str = "ordinal"
    title: str = "ordered outcomes with a rare last level"
    inputs: type[Inputs] = Inputs
    metrics: tuple[Metric, ...] = (
        Metric("rare_mse", "error of the rare probability", "lower", "10⁻⁶", digits=2, axis="quality"),
        Metric("rare_calibration", "calibration error of the rare level", "lower", "10⁻⁶", digits=1),
        Metric("rare_brier", "Brier, rare level", "lower", digits=5),
        Metric("rare_precision", "average precision, rare level", "higher", digits=3),
        Metric("brier", "Brier", "lower", digits=4, axis="quality"),
        Metric("log_loss", "log loss", "lower", digits=4),
        Metric("repaired", "repaired rows", None, digits=0),
    )
    baselines: tuple[str, ...] = ("logistic-steps", "proportional-odds")

    def open(self, inputs: Inputs) -> OrdinalCase:
        """Read the table, or draw once, to see that every level can be fitted and held out."""
        require_extra()
        case = OrdinalCase(inputs)
        case.parts(seed=0)
        return case


class OrdinalCase:
    """A table of features and levels, opened and checked, or a design to draw from."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs

    @cached_property
    def outcomes(self) -> Outcomes:
        """The table's features, levels and groups."""
        from etude.estimate.ordinal.data import outcomes

        return outcomes(self.inputs)

    @cached_property
    def fingerprints(self) -> Mapping[str, str]:
        """Identify the table; what is drawn is told by its name and the seed."""
        from etude.estimate.tables import digest, locate

        return {} if self.inputs.data in DRAWN else {"data": digest(locate(self.inputs.data))}

    def check(self, method: Any) -> None:
        """Raise `InputError` if ``method`` cannot do with so few levels."""
        if method.name == "presto" and self.parts(seed=0).levels < 3:
            raise InputError("levels", "are two; PRESTO needs three, with two it is L1 logistic regression")

    def parts(self, seed: int) -> Parts:
        """What a seed fits to and is judged by."""
        from etude.estimate.ordinal import data

        if self.inputs.data in DRAWN:
            return data.drawn(self.inputs, seed)
        return data.divided(self.outcomes, self.inputs.holdout, seed)

    def trial(self, seed: int) -> OrdinalTrial:
        """A division of the table, or a draw, of its own."""
        return OrdinalTrial(self.parts(seed))


class OrdinalTrial:
    """One method on one division."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.model: Any = None

    def apply(self, method: Any) -> None:
        """Fit to the rows that are not held out."""
        given: dict[str, Any] = {"X": self.parts.X, "y": self.parts.y}
        if "groups" in inspect.signature(method.estimate).parameters:
            given["groups"] = self.parts.groups
        self.model = method.estimate(**given)

    def score(self) -> Mapping[str, float]:
        """Of held-out rows, or against the true probability of the rare level where it is known.

        Calibration error is that of equally filled bins, squared; both it and the error of the rare
        probability are in 10^-6. As in the paper, drawn data is judged on the rows that were fitted.
        """
        import numpy as np

        from etude.estimate.ordinal.scores import scores

        parts = self.parts
        predicted = self.model.predict_proba(parts.held_X)
        found = dict(scores(parts.held_y, predicted)) | {"repaired": self.model.count_repaired(parts.held_X)}
        found["rare_calibration"] *= 1e6
        if parts.truth is not None:
            found["rare_mse"] = 1e6 * float(np.mean((predicted[:, -1] - parts.truth[:, -1]) ** 2))
        return found

    def save(self, folder: Path) -> None:
        """Write the model (safetensors and JSON), held-out predictions (CSV), and pictures."""
        import pandas as pd

        from etude.estimate.ordinal import plot_calibration, plot_path
        from etude.estimate.ordinal.saving import write

        write(self.model, folder)
        predicted = self.model.predict_proba(self.parts.held_X)
        names = [f"p({name})" for name in self.parts.names]
        table = pd.DataFrame(predicted, columns=names)
        table.insert(0, "level", [self.parts.names[code] for code in self.parts.held_y])
        table.to_csv(folder / "held_out.csv", index=False, float_format="%.6g")
        rare = self.parts.held_y == self.parts.levels - 1
        plot_calibration(rare, {"model": predicted[:, -1]}).savefig(folder / "calibration.png")
        if len(getattr(self.model, "lams_", ())) > 1:
            plot_path(self.model).savefig(folder / "path.png")


TASK = Ordinal()
