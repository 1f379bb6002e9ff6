"""Quantile aggregation: several models' quantiles in, one set of quantiles in order out."""

from __future__ import annotations

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
    from etude.estimate.quantile.combined import Combined
    from etude.estimate.quantile.data import Parts, Table

DRAWN = ("friedman", "planted")
"""Data that is drawn anew for each seed."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What quantile models are fitted to and combined on.

    Parameters
    ----------
    data : a CSV or Parquet file; "set/table" of a set on this machine; or drawn: "friedman", a smooth
        function with noise that grows, or "planted", two models each right in one half.
    target : the column to predict; needed for a table.
    group : a column that tells which rows share a source, so that they are never divided; none if none do.
    drop : columns that are no features, separated by commas.
    models : base models, separated by commas: linear, boosting, forest, extra-trees, neighbours, gaussian,
        network, joint-network.
    levels : how many, evenly spaced: 19 give 0.05 to 0.95. Odd, so that the median is among them.
    folds : for out-of-fold quantiles.
    holdout : share of the rows of a table that is held out, a new draw for each seed.
    calibration : share of the other rows that conformal calibration is made on; 0 for none.
    rows : how many rows to draw, and as many to judge by.

    Raises
    ------
    InputError : if a field has the wrong type or is out of range.
    """

    data: str = "friedman"
    target: str | None = None
    group: str | None = None
    drop: tuple[str, ...] = ()
    models: tuple[str, ...] = ("linear", "forest", "neighbours", "gaussian", "network")
    levels: Annotated[int, at.Interval(ge=9, le=199)] = 19
    folds: Annotated[int, at.Ge(2)] = 5
    holdout: Annotated[float, at.Interval(gt=0, lt=1)] = 0.1
    calibration: Annotated[float, at.Interval(ge=0, lt=1)] = 0.2
    rows: Annotated[int, at.Ge(50)] = 2000

    def __post_init__(self) -> None:
        check_fields(self)
        if (self.levels + 1) % 10:
            raise InputError(
                "levels", f"{self.levels} evenly spaced levels have no 80 % interval; take 9, 19, 29 .."
            )


@dataclass(frozen=True)
class Quantile:
    """The task: methods answer to ``aggregate(z, y, X, levels)`` with a fitted aggregator."""

    name: str = "quantile"
    title: str = "aggregation of quantile models"
    inputs: type[Inputs] = Inputs
    metrics: tuple[Metric, ...] = (
        Metric("wis", "weighted interval score", "lower", digits=3, axis="quality"),
        Metric("relative_wis", "against the best model", "lower", digits=3),
        Metric("coverage", "80 % interval covers", None, digits=3),
        Metric("width", "its width", None, digits=3),
        Metric("conformal_coverage", "calibrated, covers", None, digits=3),
        Metric("conformal_width", "its width, calibrated", "lower", digits=3),
        Metric("miscalibration", "miscalibration", "lower", digits=4),
        Metric("crossings", "rows out of order", "lower", digits=3),
    )
    baselines: tuple[str, ...] = ("best-model", "quantile-average", "qra")

    def open(self, inputs: Inputs) -> QuantileCase:
        """Read the table and check that its rows suffice."""
        require_extra()
        case = QuantileCase(inputs)
        case.check_inputs()
        return case


class QuantileCase:
    """A table or a design; what its base models predict is kept for each seed."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs
        self._parts: dict[int, Parts] = {}

    @cached_property
    def table(self) -> Table:
        """Features, targets and groups."""
        from etude.estimate.quantile.data import table

        return table(self.inputs)

    @cached_property
    def fingerprints(self) -> Mapping[str, str]:
        """Identify the table; what is drawn is told by its name and the seed."""
        from etude.estimate.tables import digest, locate

        return {} if self.inputs.data in DRAWN else {"data": digest(locate(self.inputs.data))}

    def check_inputs(self) -> None:
        """Raise `InputError` for unknown models, or a table that is too short."""
        from etude.estimate.quantile.bases import base_models

        base_models(self.inputs.models)
        if not self.inputs.models:
            raise InputError("models", "name one or more")
        if self.inputs.data not in DRAWN and len(self.table.y) < 50:
            raise InputError(
                "data", f"{self.inputs.data} has {len(self.table.y)} rows; 50 or more are needed"
            )

    def check(self, method: Any) -> None:
        """Every method does on every table."""

    def parts(self, seed: int) -> Parts:
        """Base quantiles of a seed, fitted once."""
        from etude.estimate.quantile import data

        if seed not in self._parts:
            if self.inputs.data == "friedman":
                self._parts[seed] = data.of_friedman(self.inputs, seed)
            elif self.inputs.data == "planted":
                self._parts[seed] = data.of_planted(self.inputs, seed)
            else:
                self._parts[seed] = data.of_table(self.table, self.inputs, seed)
        return self._parts[seed]

    def trial(self, seed: int) -> QuantileTrial:
        """The base models' quantiles under this seed."""
        from etude.estimate.quantile.data import levels_of

        return QuantileTrial(self.parts(seed), levels_of(self.inputs.levels))


class QuantileTrial:
    """One way to combine the same quantiles."""

    def __init__(self, parts: Parts, levels: Any) -> None:
        self.parts = parts
        self.levels = levels
        self.combined: Combined | None = None

    def apply(self, method: Any) -> None:
        """Learn to combine; the time of fitting the base models is not counted, being the same for all."""
        train = self.parts.train
        self.combined = method.aggregate(train.z, train.y, train.X, self.levels)

    def _quantiles(self) -> tuple[Any, Any]:
        """Of the held-out rows: as combined, and calibrated (None where nothing was held out for it)."""
        from etude.estimate.quantile import conformal

        assert self.combined is not None, "apply comes first"
        test, rows = self.parts.test, self.parts.calibration
        quantiles = self.combined.predict(test.z, test.X)
        if rows is None:
            return quantiles, None
        moved = conformal.offsets(self.combined.predict(rows.z, rows.X), rows.y, self.levels)
        return quantiles, conformal.calibrated(quantiles, moved)

    def score(self) -> Mapping[str, float]:
        """Of held-out rows: score, 80 % interval before and after calibration, calibration of all levels.

        The score against the best model is the ratio to that of the base model which is best on the
        held-out rows themselves, which nobody knows beforehand.
        """
        from etude.estimate.quantile.scores import scores, weighted_interval_score

        test = self.parts.test
        quantiles, calibrated = self._quantiles()
        found = scores(quantiles, test.y, self.levels)
        models = range(test.z.shape[1])
        best = min(weighted_interval_score(test.z[:, model], test.y, self.levels) for model in models)
        found["relative_wis"] = found["wis"] / best
        del found["pinball"]
        if calibrated is not None:
            after = scores(calibrated, test.y, self.levels)
            found |= {f"conformal_{name}": after[name] for name in ("coverage", "width")}
        return found

    def save(self, folder: Path) -> None:
        """Write the aggregator (safetensors and JSON), held-out quantiles (CSV), a reliability plot."""
        import pandas as pd

        from etude.estimate.quantile.plots import plot_reliability
        from etude.estimate.quantile.saving import write

        assert self.combined is not None, "apply comes first"
        write(self.combined, folder)
        quantiles, calibrated = self._quantiles()
        shown = {"combined": quantiles} | ({} if calibrated is None else {"calibrated": calibrated})
        frame = pd.DataFrame({"target": self.parts.test.y})
        for name, values in shown.items():
            columns = [f"{name} {level:g}" for level in self.levels]
            frame = pd.concat([frame, pd.DataFrame(values, columns=columns)], axis=1)
        frame.to_csv(folder / "held_out.csv", index=False, float_format="%.6g")
        plot_reliability(shown, self.parts.test.y, self.levels).savefig(folder / "reliability.png")


TASK = Quantile()
