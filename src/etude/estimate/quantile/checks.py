"""What every way to combine quantiles is checked on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from etude.estimate.quantile.designs import planted
from etude.estimate.quantile.saving import load, save
from etude.task import Example

LEVELS = np.array([0.1, 0.5, 0.9])
ROWS = 80


@dataclass(frozen=True)
class QuantileChecks:
    """See `etude.task.Checks`."""

    verb: str = "aggregate"
    edits: Sequence[str] = ()

    def examples(self) -> Sequence[Example]:
        """Two models, and one."""
        return [
            Example("two models", _arguments()),
            Example("one model", _arguments(z=lambda z: z[:, :1])),
            Example("lists", _arguments(levels=lambda levels: levels.tolist(), y=lambda y: y.tolist())),
        ]

    def malformed(self) -> Sequence[Example]:
        """One gap, one wrong shape or one wrong order at a time."""
        return [
            Example("two dimensions", _arguments(z=lambda z: z[:, 0]), wrong="z"),
            Example("a gap", _arguments(z=lambda z: np.where(z > 1, np.nan, z)), wrong="z"),
            Example("fewer levels", _arguments(z=lambda z: z[:, :, 1:]), wrong="z"),
            Example("no order", _arguments(levels=lambda levels: levels[::-1]), wrong="levels"),
            Example("a level twice", _arguments(levels=lambda levels: levels[[0, 1, 1]]), wrong="levels"),
            Example("a level of 1", _arguments(levels=lambda levels: levels + 0.1), wrong="levels"),
            Example("a gap", _arguments(y=lambda y: np.where(y > 1, np.nan, y)), wrong="y"),
            Example("fewer rows", _arguments(y=lambda y: y[1:]), wrong="y"),
            Example("two columns", _arguments(y=lambda y: np.stack([y, y], axis=1)), wrong="y"),
            Example("fewer rows", _arguments(X=lambda X: X[1:]), wrong="X"),
            Example("one dimension", _arguments(X=lambda X: X[:, 0]), wrong="X"),
            Example("a gap", _arguments(X=lambda X: np.where(X > 0.9, np.nan, X)), wrong="X"),
        ]

    def settings(self, method: type[Any]) -> Mapping[str, Any]:
        """One short training: nothing is to be learned from so few rows."""
        return {"searches": 1, "max_steps": 100} if method.name == "dqa" else {}

    def identity(self, method: type[Any]) -> Mapping[str, Any] | None:
        """There is nothing to leave as it was."""
        return None

    def outcome(self, arguments: Mapping[str, Any], returned: Any) -> Any:
        """The aggregator, and how many models it combines."""
        return returned, arguments["z"].shape[1]

    def look(self, outcome: Any) -> Any:
        """What it makes of other rows."""
        combined, models = outcome
        X, _, z = planted(30, LEVELS, seed=2)
        return {"quantiles": combined.predict(z[:, :models], X)}

    def reload(self, outcome: Any, folder: Path) -> Any:
        """Through `save` and `load`."""
        save(outcome[0], folder)
        return load(folder), outcome[1]


def _arguments(**changes: Callable[[Any], Any]) -> Callable[[], dict[str, Any]]:
    def make() -> dict[str, Any]:
        X, y, z = planted(ROWS, LEVELS, seed=1)
        given: dict[str, Any] = {"z": z, "y": y, "X": X, "levels": LEVELS.copy()}
        return given | {name: change(given[name]) for name, change in changes.items()}

    return make


CHECKS = QuantileChecks()
