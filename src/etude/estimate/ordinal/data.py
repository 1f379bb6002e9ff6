"""From a table or a design to what a model is fitted to and judged by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from etude.errors import InputError, unknown
from etude.estimate import tables
from etude.estimate.ordinal import designs
from etude.estimate.ordinal.likelihood import Array

if TYPE_CHECKING:
    from etude.estimate.ordinal.task import Inputs


@dataclass(frozen=True)
class Outcomes:
    """A table, read.

    Parameters
    ----------
    X : features as numbers, ``[n, p]``.
    y : levels from 0, ``[n]``.
    names : of the levels.
    groups : which rows share a source, ``[n]``, or None.
    """

    X: pd.DataFrame
    y: NDArray[np.intp]
    names: tuple[str, ...]
    groups: NDArray[Any] | None


@dataclass(frozen=True)
class Parts:
    """What is fitted, and what is held out.

    Parameters
    ----------
    X, y, groups : rows to fit.
    held_X, held_y : rows to judge by.
    names : of the levels.
    truth : true probabilities of the rows to judge by, ``[n, K]``, where they are known.
    """

    X: Any
    y: NDArray[np.intp]
    groups: NDArray[Any] | None
    held_X: Any
    held_y: NDArray[np.intp]
    names: tuple[str, ...]
    truth: Array | None = None

    @property
    def levels(self) -> int:
        """How many there are."""
        return len(self.names)


DESIGNS: dict[str, Callable[..., designs.Drawn]] = {
    "sparse-differences": designs.sparse_differences,
    "dense-differences": designs.dense_differences,
    "equal-weights": designs.equal_weights,
}


def drawn(inputs: Inputs, seed: int) -> Parts:
    """A draw; judged on the rows that are fitted, against the truth."""
    found = DESIGNS[inputs.data](inputs.rows, inputs.features, seed=seed)
    names = tuple(map(str, range(found.probabilities.shape[1])))
    return Parts(found.X, found.y, None, found.X, found.y, names, found.probabilities)


def outcomes(inputs: Inputs) -> Outcomes:
    """The table that the inputs name.

    Raises
    ------
    InputError : naming the input at fault.
    """
    frame = tables.read(tables.locate(inputs.data))
    if inputs.target is None:
        raise InputError("target", f"name the column with the ordered labels: {', '.join(frame.columns)}")
    for name in inputs.drop:
        if name not in frame.columns:
            raise unknown("drop", name, map(str, frame.columns))
    target = tables.column(frame, "target", inputs.target)
    groups = None if inputs.group is None else tables.column(frame, "group", inputs.group).to_numpy()
    names = inputs.levels or _natural(target)
    codes = _codes(target, names)
    unused = {inputs.target, inputs.group, *inputs.drop}
    features = frame[[name for name in frame.columns if name not in unused]]
    if features.shape[1] == 0:
        raise InputError("drop", "leaves no column as a feature")
    return Outcomes(tables.encode(features), codes, names, groups)


def divided(outcomes: Outcomes, holdout: float, seed: int) -> Parts:
    """Rows to fit and rows held out, by a draw that is stratified, and keeps groups together.

    Raises
    ------
    InputError : naming ``holdout``, if a level would not occur in both.
    """
    train, held = _split(outcomes, holdout, seed)
    if len(set(outcomes.y[train])) < len(outcomes.names):
        raise InputError("holdout", "a level has too few rows (or groups) to be fitted and held out")
    X, y, groups = outcomes.X, outcomes.y, outcomes.groups
    mine = None if groups is None else groups[train]
    return Parts(X.iloc[train], y[train], mine, X.iloc[held], y[held], outcomes.names)


def _split(outcomes: Outcomes, holdout: float, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    from sklearn.model_selection import StratifiedGroupKFold, train_test_split

    y, rows = outcomes.y, np.arange(len(outcomes.y))
    if outcomes.groups is not None:
        parts = max(2, round(1 / holdout))
        folds = StratifiedGroupKFold(parts, shuffle=True, random_state=seed).split(rows, y, outcomes.groups)
        train, held = next(iter(folds))
        return train, held
    if np.bincount(y).min() < 2:
        rare = outcomes.names[int(np.bincount(y).argmin())]
        raise InputError("target", f"level {rare!r} has one row; two or more are needed to hold one out")
    train, held = train_test_split(rows, test_size=holdout, stratify=y, random_state=seed)
    return train, held


def _natural(target: pd.Series) -> tuple[str, ...]:
    """The order that the column itself has."""
    if isinstance(target.dtype, pd.CategoricalDtype) and target.cat.ordered:
        used = set(target)
        return tuple(str(level) for level in target.cat.categories if level in used)
    if pd.api.types.is_numeric_dtype(target):
        return tuple(map(str, sorted(target.unique().tolist())))
    found = ", ".join(map(str, target.unique()[:10]))
    raise InputError("levels", f"give the order of the labels, lowest first, the rare one last: {found}")


def _codes(target: pd.Series, names: tuple[str, ...]) -> NDArray[np.intp]:
    place = {name: code for code, name in enumerate(names)}
    labels = [str(label) for label in target.tolist()]
    for label in sorted(set(labels)):
        if label not in place:
            raise InputError("levels", f"do not name {label!r}, which column {target.name!r} holds")
    for name in names:
        if name not in set(labels):
            raise InputError("levels", f"no row of column {target.name!r} is {name!r}")
    if len(place) < 2:
        raise InputError("target", f"column {target.name!r} has one level, {names[0]!r}")
    return np.array([place[label] for label in labels], dtype=np.intp)
