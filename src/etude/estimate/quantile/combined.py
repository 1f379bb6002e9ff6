"""Aggregators that are fitted: what comes out of every method of the task.

Each combines base quantiles ``z [n, p, m]`` at features ``X [n, d]`` into quantiles ``[n, m]`` in order, and
can be written to safetensors and JSON.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from etude.errors import InputError
from etude.estimate.quantile.isotonic import REPAIRS, Repair
from etude.estimate.quantile.scores import Array
from etude.estimate.quantile.weights import Weights


class Combined(Protocol):
    """A fitted aggregator."""

    levels: Array

    def predict(self, z: Array, X: Array) -> Array:
        """Quantiles ``[n, m]``, in order unless the repair is "none"."""

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors, and facts for JSON, from which it can be made again."""


class Pooled:
    """The mean or the median of some models, the same everywhere.

    Parameters
    ----------
    levels : ``[m]``.
    models : which of them, as indices.
    centre : "mean" or "median".
    repair : how rows are put in order.
    """

    def __init__(self, levels: Array, models: list[int], centre: str, repair: Repair) -> None:
        self.levels, self.models, self.centre, self.repair = levels, models, centre, repair

    def predict(self, z: Array, X: Array) -> Array:
        """See `Combined`."""
        pool = np.mean if self.centre == "mean" else np.median
        return repaired(pool(z[:, self.models], axis=1), self.repair)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """See `Combined`."""
        facts = {"kind": "pooled", "models": self.models, "centre": self.centre, "repair": self.repair}
        return {"levels": torch.from_numpy(self.levels)}, facts


class Stacked:
    """A linear function of the models' quantiles for each level, not necessarily convex.

    Parameters
    ----------
    levels : ``[m]``.
    coef : ``[p, m]``: of the same level; or ``[p m, m]``: of all levels.
    intercept : ``[m]``.
    repair : how rows are put in order.
    """

    def __init__(self, levels: Array, coef: Array, intercept: Array, repair: Repair) -> None:
        self.levels, self.coef, self.intercept, self.repair = levels, coef, intercept, repair

    def predict(self, z: Array, X: Array) -> Array:
        """See `Combined`."""
        if len(self.coef) == z.shape[1]:
            combined = np.einsum("npm,pm->nm", z, self.coef)
        else:
            combined = z.reshape(len(z), -1) @ self.coef
        return repaired(combined + self.intercept, self.repair)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """See `Combined`."""
        arrays = {"levels": self.levels, "coef": self.coef, "intercept": self.intercept}
        tensors = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in arrays.items()}
        return tensors, {"kind": "stacked", "repair": self.repair}


class Learned:
    """Convex weights that were trained, on the scale of standardised features and targets.

    Parameters
    ----------
    levels : ``[m]``.
    network : the weights.
    shape : the arguments of `Weights` that made it.
    scales : means and deviations of features and target.
    repair : how rows are put in order.
    chosen : settings and steps that validated best.
    """

    def __init__(
        self,
        levels: Array,
        network: Weights,
        shape: dict[str, Any],
        scales: Scales,
        repair: Repair,
        chosen: dict[str, float],
    ) -> None:
        self.levels, self.network, self.shape = levels, network, shape
        self.scales, self.repair, self.chosen = scales, repair, chosen

    def predict(self, z: Array, X: Array) -> Array:
        """See `Combined`."""
        found = [self._combine(z[rows], X[rows]) for rows in _chunks(len(z))]
        return np.concatenate(found) if found else np.empty((0, len(self.levels)))

    def weights(self, X: Array) -> Array:
        """At features ``X``: ``[n, p, 1]``, ``[n, p, m]`` or, if fine, ``[n, p, m, m]``: for each output
        level, what each model's quantile at each level contributes. One row if they are global."""
        with torch.no_grad():
            found = self.network.weights(self.scales.features(X)).double().numpy()
        models, m = self.shape["models"], self.shape["levels"]
        return found.reshape(-1, models, m, m) if self.network.resolution == "fine" else found

    def _combine(self, z: Array, X: Array) -> Array:
        with torch.no_grad():
            combined = self.network(self.scales.targets(z), self.scales.features(X)).double().numpy()
        return repaired(combined * self.scales.y_scale + self.scales.y_mean, self.repair)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """See `Combined`."""
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {
            "levels": torch.from_numpy(self.levels),
            "x_mean": torch.from_numpy(self.scales.x_mean),
            "x_scale": torch.from_numpy(self.scales.x_scale),
        }
        facts = {
            "kind": "learned",
            "repair": self.repair,
            "shape": self.shape,
            "y": [self.scales.y_mean, self.scales.y_scale],
            "chosen": self.chosen,
        }
        return tensors, facts


class Scales:
    """Means and standard deviations of features ``[d]`` and of the target."""

    def __init__(self, x_mean: Array, x_scale: Array, y_mean: float, y_scale: float) -> None:
        self.x_mean, self.x_scale, self.y_mean, self.y_scale = x_mean, x_scale, y_mean, y_scale

    @classmethod
    def of(cls, X: Array, y: Array) -> Scales:
        """Those of training rows; 1 where nothing varies."""
        deviation = X.std(axis=0)
        return cls(
            X.mean(axis=0),
            np.where(deviation > 0, deviation, 1.0),
            float(y.mean()),
            float(y.std()) or 1.0,
        )

    def features(self, X: Array) -> Tensor:
        """Standardised, in single precision."""
        return torch.from_numpy(((X - self.x_mean) / self.x_scale).astype(np.float32))

    def targets(self, y: Array) -> Tensor:
        """Targets or quantiles, standardised, in single precision."""
        return torch.from_numpy(((y - self.y_mean) / self.y_scale).astype(np.float32))


def rebuilt(tensors: dict[str, Tensor], facts: dict[str, Any]) -> Combined:
    """The aggregator whose `Combined.state` this is."""
    levels, repair = tensors["levels"].numpy(), facts["repair"]
    if facts["kind"] == "pooled":
        return Pooled(levels, facts["models"], facts["centre"], repair)
    if facts["kind"] == "stacked":
        return Stacked(levels, tensors["coef"].numpy(), tensors["intercept"].numpy(), repair)
    if facts["kind"] != "learned":
        raise InputError("folder", f"holds an aggregator of unknown kind {facts['kind']!r}")
    network = Weights(**facts["shape"]).eval()
    prefix = "network."
    network.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    scales = Scales(tensors["x_mean"].numpy(), tensors["x_scale"].numpy(), *facts["y"])
    return Learned(levels, network, facts["shape"], scales, repair, facts["chosen"])


def repaired(quantiles: Array, repair: Repair) -> Array:
    """Rows in order.

    Examples
    --------
    >>> repaired(np.array([[2.0, 1.0]]), "pava").tolist()
    [[1.5, 1.5]]
    """
    found: Array = REPAIRS[repair](torch.from_numpy(np.ascontiguousarray(quantiles))).numpy()
    return found


def _chunks(rows: int, size: int = 512) -> list[slice]:
    return [slice(start, start + size) for start in range(0, rows, size)]
