"""From a table or a design to base quantiles: of rows to learn on, to calibrate on and to judge by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from etude.errors import InputError, unknown
from etude.estimate import tables
from etude.estimate.quantile import designs
from etude.estimate.quantile.bases import base_models
from etude.estimate.quantile.folds import Bases, assign, out_of_fold
from etude.estimate.quantile.scores import Array
from etude.seeds import seeded

if TYPE_CHECKING:
    from etude.estimate.quantile.task import Inputs


@dataclass(frozen=True)
class Rows:
    """Rows with the base models' quantiles.

    Parameters
    ----------
    z : ``[n, p, m]``.
    y : targets, ``[n]``.
    X : features, ``[n, d]``.
    """

    z: Array
    y: Array
    X: Array


@dataclass(frozen=True)
class Parts:
    """What a seed learns on, calibrates on and is judged by.

    Parameters
    ----------
    train : out of fold.
    calibration : by models fitted to all training rows; None if there is none.
    test : by the same models.
    """

    train: Rows
    calibration: Rows | None
    test: Rows


@dataclass(frozen=True)
class Table:
    """A table of numbers, read.

    Parameters
    ----------
    X, y : features ``[n, d]`` and targets ``[n]``.
    groups : which rows share a source, ``[n]``, or None.
    """

    X: Array
    y: Array
    groups: NDArray[Any] | None = None


def levels_of(count: int) -> Array:
    """Evenly spaced levels: 19 give 0.05, 0.10 .. 0.95."""
    return np.arange(1, count + 1) / (count + 1)


def table(inputs: Inputs) -> Table:
    """The table that the inputs name.

    Raises
    ------
    InputError : naming the input at fault.
    """
    frame = tables.read(tables.locate(inputs.data))
    if inputs.target is None:
        raise InputError("target", f"name the column to predict: {', '.join(map(str, frame.columns))}")
    for name in inputs.drop:
        if name not in frame.columns:
            raise unknown("drop", name, map(str, frame.columns))
    target = tables.column(frame, "target", inputs.target)
    if not pd.api.types.is_numeric_dtype(target):
        raise InputError("target", f"column {inputs.target!r} is not numbers")
    groups = None if inputs.group is None else tables.column(frame, "group", inputs.group).to_numpy()
    unused = {inputs.target, inputs.group, *inputs.drop}
    features = frame[[name for name in frame.columns if name not in unused]]
    if features.shape[1] == 0:
        raise InputError("drop", "leaves no column as a feature")
    return Table(tables.encode(features).to_numpy(), target.to_numpy(dtype=float), groups)


def of_table(found: Table, inputs: Inputs, seed: int) -> Parts:
    """A draw of held-out rows, another of calibration rows; the models fitted to the rest."""
    test = _away(len(found.y), inputs.holdout, found.groups, seed)
    rest = np.flatnonzero(~test)
    groups = None if found.groups is None else found.groups[rest]
    away = np.zeros(len(rest), dtype=bool)
    if inputs.calibration > 0:
        away = _away(len(rest), inputs.calibration, groups, seed + 1)
    train, calibration = rest[~away], rest[away]
    mine = None if found.groups is None else found.groups[train]
    return _fitted(found, train, calibration, np.flatnonzero(test), mine, inputs, seed)


def of_friedman(inputs: Inputs, seed: int) -> Parts:
    """Drawn rows, and as many fresh ones to judge by."""
    X, y = designs.friedman(2 * inputs.rows, seed)
    fresh = np.arange(inputs.rows, 2 * inputs.rows)
    held = round(inputs.calibration * inputs.rows)
    train, calibration = np.arange(held, inputs.rows), np.arange(held)
    return _fitted(Table(X, y), train, calibration, fresh, None, inputs, seed)


def of_planted(inputs: Inputs, seed: int) -> Parts:
    """Two models whose quantiles are given; nothing is fitted."""
    levels = levels_of(inputs.levels)
    X, y, z = designs.planted(2 * inputs.rows, levels, seed)
    held = round(inputs.calibration * inputs.rows)

    def rows(start: int, stop: int) -> Rows:
        return Rows(z[start:stop], y[start:stop], X[start:stop])

    calibration = rows(0, held) if held else None
    return Parts(rows(held, inputs.rows), calibration, rows(inputs.rows, 2 * inputs.rows))


def _fitted(
    found: Table,
    train: NDArray[np.intp],
    calibration: NDArray[np.intp],
    test: NDArray[np.intp],
    groups: NDArray[Any] | None,
    inputs: Inputs,
    seed: int,
) -> Parts:
    X, y, levels = found.X[train], found.y[train], levels_of(inputs.levels)
    models = base_models(inputs.models)
    with seeded(seed):
        fold = assign(len(y), inputs.folds, groups, seed)
        z, _ = out_of_fold(models, X, y, levels, fold)
        bases = Bases(models, X, y, levels)

        def rows(some: NDArray[np.intp]) -> Rows:
            return Rows(bases.predict(found.X[some]), found.y[some], found.X[some])

        return Parts(Rows(z, y, X), rows(calibration) if len(calibration) else None, rows(test))


def _away(rows: int, share: float, groups: Any, seed: int) -> NDArray[np.bool_]:
    """About this share of the rows, whole groups where there are some."""
    if groups is not None:
        away: NDArray[np.bool_] = assign(rows, max(2, round(1 / share)), groups, seed) == 0
        return away
    order = np.random.default_rng(seed).permutation(rows)
    chosen = np.zeros(rows, dtype=bool)
    chosen[order[: max(1, round(share * rows))]] = True
    return chosen
