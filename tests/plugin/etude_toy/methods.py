"""Methods of the toy task: two that work, one that fails, one that dies, one that is slow."""

from __future__ import annotations

import os
import random
import signal
import statistics
import time
from collections.abc import Sequence
from typing import Annotated

import annotated_types as at

from etude.method import method
from etude.progress import track


@method("toy-mean", task="toy")
class ToyMean:
    """Guess the mean by averaging a random share of the numbers.

    Parameters
    ----------
    share : fraction of the numbers to look at, in (0, 1].
    """

    share: Annotated[float, at.Interval(gt=0, le=1)] = 0.5

    def guess(self, numbers: Sequence[float]) -> float:
        """The average of a random sample."""
        return statistics.fmean(random.sample(numbers, max(1, round(self.share * len(numbers)))))


@method("toy-median", task="toy")
class ToyMedian:
    """Guess the mean by the median, which is wrong on skewed numbers."""

    def guess(self, numbers: Sequence[float]) -> float:
        """The median."""
        return statistics.median(numbers)


@method("toy-fail", task="toy", beside=("toy-median",))
class ToyFail:
    """Raise an error, always or under one seed's draw.

    Parameters
    ----------
    message : what the error says.
    chance : probability of failing; the rest of the time the guess is the true mean.
    """

    message: str = "this toy is broken"
    chance: Annotated[float, at.Interval(ge=0, le=1)] = 1.0

    def guess(self, numbers: Sequence[float]) -> float:
        """Fail, or answer."""
        if random.random() < self.chance:
            raise RuntimeError(self.message)
        return statistics.fmean(numbers)


@method("toy-die", task="toy")
class ToyDie:
    """Kill the process that runs it, as the system does when memory runs out."""

    def guess(self, numbers: Sequence[float]) -> float:
        """Never returns."""
        os.kill(os.getpid(), signal.SIGKILL)
        return 0.0


@method("toy-slow", task="toy")
class ToySlow:
    """Guess the mean, slowly, so that there is time to interrupt.

    Parameters
    ----------
    steps : number of pauses.
    pause : length of a pause, in seconds.
    """

    steps: Annotated[int, at.Ge(0)] = 10
    pause: Annotated[float, at.Ge(0)] = 0.05

    def guess(self, numbers: Sequence[float]) -> float:
        """The mean, after ``steps`` pauses."""
        for _ in track(range(self.steps), "pausing"):
            time.sleep(self.pause)
        return statistics.fmean(numbers)
