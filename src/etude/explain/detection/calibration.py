"""From scores to probabilities, thresholds and verdicts, by scores of texts that the detector never saw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from etude.errors import InputError
from etude.explain.detection.logistic import logistic

Verdict = Literal["human", "machine", "unsure"]


@dataclass(frozen=True)
class Calibration:
    """What scores mean, learnt from held-out texts of people and of machines.

    Parameters
    ----------
    slope, intercept : of the log-odds of machine along the score (Platt).
    human, machine : scores of the held-out texts of each kind, ascending.

    Examples
    --------
    >>> made = Calibration.of(torch.arange(40.0), torch.tensor([0, 1]).repeat_interleave(20))
    >>> made.verdicts(torch.tensor([0.0, 19.4, 39.0]), error=0.1)
    ['human', 'unsure', 'machine']
    >>> made.threshold(0.1)
    18.0

    References
    ----------
    Platt, "Probabilistic Outputs for Support Vector Machines", 1999. Vovk et al., "Algorithmic Learning in
    a Random World", 2005, for p-values by class.
    """

    slope: float
    intercept: float
    human: tuple[float, ...]
    machine: tuple[float, ...]

    @classmethod
    def of(cls, scores: Tensor, labels: Tensor) -> Calibration:
        """Learn from scores and labels, 1 for machine, of texts that played no part in training.

        Targets are moved towards the middle by one text of each class, as Platt advises.
        """
        scores, of_machine = scores.double(), labels == 1
        machines, people = int(of_machine.sum()), int((~of_machine).sum())
        targets = torch.where(of_machine, (machines + 1) / (machines + 2), 1 / (people + 2)).double()
        centre, spread = scores.mean(), scores.std(correction=0).clamp(min=1e-12)
        slopes, intercept = logistic(((scores - centre) / spread)[:, None], targets, ridge=1e-6)
        slope = float(slopes[0] / spread)
        return cls(
            slope=slope,
            intercept=float(intercept) - slope * float(centre),
            human=tuple(scores[~of_machine].sort().values.tolist()),
            machine=tuple(scores[of_machine].sort().values.tolist()),
        )

    def probabilities(self, scores: Tensor) -> Tensor:
        """Of machine, float64 ``[texts]``."""
        return (self.slope * scores.double() + self.intercept).sigmoid()

    def verdicts(self, scores: Tensor, error: float) -> list[Verdict]:
        """A verdict for each score, and "unsure" where a verdict would be wrong too often.

        "machine" where at most ``error`` of people's texts score as high, and more of the machines' score as
        low; "human" the other way round. If the texts are drawn as the held-out ones were, at most ``error``
        of people's texts are called machine, and of machines' human. With fewer than ``1 / error - 1``
        held-out texts of a class, nothing is called the other.
        """
        return [_verdict(person, machine, error) for person, machine in self._chances(scores)]

    def threshold(self, rate: float) -> float:
        """The score above which at most ``rate`` of people's texts are expected.

        Raises
        ------
        InputError : if there are too few held-out texts of people to tell.
        """
        count = len(self.human)
        place = math.ceil((count + 1) * (1 - rate))
        if not 0 < rate < 1 or place > count:
            needed = math.ceil(1 / rate) - 1 if 0 < rate < 1 else 1
            raise InputError(
                "rate", f"{rate} needs to be in (0, 1), and {needed} held-out human texts; there are {count}"
            )
        return self.human[place - 1]

    def _chances(self, scores: Tensor) -> list[tuple[float, float]]:
        """How often a text of a person scores as high, and one of a machine as low."""
        people, machines = (torch.tensor(each, dtype=torch.float64) for each in (self.human, self.machine))
        higher = (people[None] >= scores.double()[:, None]).sum(1)
        lower = (machines[None] <= scores.double()[:, None]).sum(1)
        person = (1 + higher) / (1 + len(people))
        machine = (1 + lower) / (1 + len(machines))
        return list(zip(person.tolist(), machine.tolist(), strict=True))


def _verdict(person: float, machine: float, error: float) -> Verdict:
    if person <= error < machine:
        return "machine"
    return "human" if machine <= error < person else "unsure"


def check_error(error: float) -> None:
    """Raise `InputError` unless ``error`` is a share of texts that may be misjudged."""
    if not 0 < error < 0.5:
        raise InputError("error", f"{error} is not in (0, 0.5)")


def counted(verdicts: Sequence[Verdict], labels: Sequence[int]) -> tuple[float, float]:
    """Shares of texts with a verdict, and of wrong ones among these (NaN if there is none).

    Examples
    --------
    >>> counted(["human", "machine", "unsure", "machine"], [0, 1, 1, 0])
    (0.75, 0.3333333333333333)
    """
    sure = [(verdict, label) for verdict, label in zip(verdicts, labels, strict=True) if verdict != "unsure"]
    wrong = sum((verdict == "machine") != (label == 1) for verdict, label in sure)
    return len(sure) / len(verdicts), wrong / len(sure) if sure else math.nan
