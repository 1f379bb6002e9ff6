"""A toy task, to guess the mean of a list of numbers, and methods that play it."""

from __future__ import annotations

from etude_toy.methods import ToyDie, ToyFail, ToyMean, ToyMedian, ToySlow
from etude_toy.task import TASK

__all__ = ["TASK", "ToyDie", "ToyFail", "ToyMean", "ToyMedian", "ToySlow"]
