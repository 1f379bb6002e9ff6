"""What every ordinal method is checked on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from etude.estimate.ordinal import load, save
from etude.estimate.ordinal.designs import sparse_differences
from etude.task import Example

ROWS, FEATURES = 400, 3


@dataclass(frozen=True)
class OrdinalChecks:
    """See `etude.task.Checks`."""

    verb: str = "estimate"
    edits: Sequence[str] = ()

    def examples(self) -> Sequence[Example]:
        """The same rows in each form that features come in."""
        return [
            Example("an array", _arguments()),
            Example("a data frame and ordered categories", _arguments(X=_frame, y=_categories)),
            Example("a sparse matrix", _arguments(X=sp.csr_array)),
        ]

    def malformed(self) -> Sequence[Example]:
        """One gap, one wrong shape or one missing level at a time."""
        return [
            Example("a gap", _arguments(X=_with_gap), wrong="X"),
            Example("infinity", _arguments(X=lambda X: np.where(X > 0.99, np.inf, X)), wrong="X"),
            Example("one dimension", _arguments(X=lambda X: X[:, 0]), wrong="X"),
            Example("no rows", _arguments(X=lambda X: X[:0], y=lambda y: y[:0]), wrong="X"),
            Example("a column of text", _arguments(X=_with_text), wrong="X"),
            Example("a gap", _arguments(y=lambda y: np.where(y == 3, np.nan, y)), wrong="y"),
            Example("one level", _arguments(y=np.zeros_like), wrong="y"),
            Example("fewer rows", _arguments(y=lambda y: y[1:]), wrong="y"),
            Example("two columns", _arguments(y=lambda y: np.stack([y, y], axis=1)), wrong="y"),
            Example("fewer rows", _arguments(groups=lambda _: np.arange(ROWS - 1)), wrong="groups"),
        ]

    def identity(self, method: type[Any]) -> Mapping[str, Any] | None:
        """There is nothing to leave as it was."""
        return None

    def outcome(self, arguments: Mapping[str, Any], returned: Any) -> Any:
        """The classifier."""
        return returned

    def look(self, outcome: Any) -> Any:
        """What it predicts, and its weights."""
        X = sparse_differences(50, FEATURES, seed=9).X
        X = _frame(X) if hasattr(outcome, "feature_names_in_") else X
        return {"probabilities": outcome.predict_proba(X), "weights": outcome.coef_}

    def reload(self, outcome: Any, folder: Path) -> Any:
        """Through `save` and `load`."""
        save(outcome, folder)
        return load(folder)


def _arguments(**changes: Callable[[Any], Any]) -> Callable[[], dict[str, Any]]:
    def make() -> dict[str, Any]:
        drawn = sparse_differences(ROWS, FEATURES, intercepts=(0.0, 1.5, 3.0), seed=1)
        given: dict[str, Any] = {"X": drawn.X, "y": drawn.y, "groups": None}
        return given | {name: change(given[name]) for name, change in changes.items()}

    return make


def _frame(X: Any) -> pd.DataFrame:
    return pd.DataFrame(X, columns=["a", "b", "c"])


def _categories(y: Any) -> pd.Series:
    names = ["none", "little", "some", "much"]
    return pd.Series(pd.Categorical([names[level] for level in y], names, ordered=True))


def _with_gap(X: Any) -> Any:
    X[3, 1] = np.nan
    return X


def _with_text(X: Any) -> pd.DataFrame:
    return _frame(X).assign(b="text")


CHECKS = OrdinalChecks()
