"""What every detector is once it is fitted: a method with its tensors, which scores readings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from etude.errors import InputError
from etude.explain.detection.reading import METRICS, Reading


@dataclass(frozen=True)
class Scorer:
    """A fitted detector: the higher a score, the more it speaks for a machine.

    Parameters
    ----------
    method : an instance of a method of detection.
    tensors : what it has learnt, by name; empty for methods that learn nothing.
    """

    method: Any
    tensors: Mapping[str, Tensor]

    def __call__(self, readings: Sequence[Reading]) -> Tensor:
        """Scores, float64 ``[readings]``."""
        check_readings(readings)
        scores: Tensor = self.method.score(self.tensors, readings)
        return scores.double()


class ZeroShot:
    """A method that learns nothing: fitted, it is what it was."""

    def fit(self, readings: Sequence[Reading], labels: Any = None) -> Scorer:
        """Nothing is learnt."""
        check_readings(readings)
        return Scorer(self, {})


def check_readings(readings: Any) -> None:
    """Raise `InputError` unless there are readings, and all of them fit together."""
    if not isinstance(readings, (list, tuple)) or not readings:
        raise InputError("readings", "are not a list of one or more readings")
    for number, reading in enumerate(readings):
        if not isinstance(reading, Reading):
            raise InputError("readings", f"number {number} is {type(reading).__name__}, not a reading")
        positions = len(reading.ids) - 1
        shapes = (reading.metrics.shape, reading.moments.shape[:1], reading.hidden.shape)
        if positions < 1 or shapes != (
            (positions, len(METRICS)),
            (positions,),
            (positions + 1, _width(readings)),
        ):
            raise InputError("readings", f"number {number} is not of the shapes that a reader makes")
        if not bool(reading.metrics.isfinite().all() and reading.hidden.isfinite().all()):
            raise InputError("readings", f"number {number} holds numbers that are not finite")


def check_labels(labels: Any, count: int) -> Tensor:
    """Labels as float32 ``[count]``; 1 says machine, 0 human.

    Raises
    ------
    InputError : naming ``labels`` if they are others, not as many, or all the same.
    """
    try:
        found = torch.as_tensor(labels, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            "labels", f"are not numbers ({error}); give 1 for machine and 0 for human"
        ) from error
    if found.shape != (count,):
        raise InputError("labels", f"are of shape {tuple(found.shape)}, not one for each of {count} texts")
    if not bool(((found == 0) | (found == 1)).all()):
        raise InputError("labels", "are not all 0 (human) or 1 (machine)")
    if bool((found == found[0]).all()):
        raise InputError("labels", "are all of one class; give texts of people and of machines")
    return found


def per_text(readings: Sequence[Reading], of: Any) -> Tensor:
    """A number for each reading, float64 ``[readings]``."""
    return torch.stack([torch.as_tensor(of(reading), dtype=torch.float64) for reading in readings])


def _width(readings: Sequence[Any]) -> int:
    return int(readings[0].hidden.shape[1])
