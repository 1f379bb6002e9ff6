"""Learning weights: Adam on the pinball loss, validation, random search, and training again.

References
----------
Fakoor, Kim, Mueller, Smola and Tibshirani, "Flexible Model Aggregation for Quantile Regression", JMLR
24(162), 2023. arXiv:2103.00083.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from etude.estimate.quantile.losses import adaptive_margins, crossing, pinball
from etude.estimate.quantile.weights import Weights
from etude.progress import track

EVERY = 100
"""Steps between two looks at the validation rows."""


@dataclass(frozen=True)
class Rows:
    """Standardised rows with out-of-fold quantiles.

    Parameters
    ----------
    z : quantiles of the models, ``[n, p, m]``.
    y : targets, ``[n]``.
    x : features, ``[n, d]``.
    """

    z: Tensor
    y: Tensor
    x: Tensor

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, rows: Tensor) -> Rows:
        return Rows(self.z[rows], self.y[rows], self.x[rows])


@dataclass(frozen=True)
class Settings:
    """One point of the search.

    Parameters
    ----------
    lr, weight_decay : of Adam (amsgrad).
    penalty : weight of the crossing penalty; 0 for none.
    margin : scale of the adaptive margins, or the margin itself where it is fixed.
    hidden, layers, dropout : of the network of local weights.
    """

    lr: float
    weight_decay: float = 1e-7
    penalty: float = 0.0
    margin: float = 0.0
    hidden: int = 64
    layers: int = 2
    dropout: float = 0.0


@dataclass(frozen=True)
class Plan:
    """What is learned, and how far.

    Parameters
    ----------
    levels : ``[m]``.
    build : weights for given settings.
    adaptive : whether margins follow the residuals of a pilot, or are fixed.
    through : repair that is applied inside the loss.
    repair : repair that is applied to what is validated.
    patience : steps without improvement after which training stops.
    max_steps : after which it stops in any case.
    """

    levels: Tensor
    build: Callable[[Settings], Weights]
    adaptive: bool
    through: Callable[[Tensor], Tensor]
    repair: Callable[[Tensor], Tensor]
    patience: int = 500
    max_steps: int = 20_000


def grid(*, local: bool, margin: str, searches: int) -> list[Settings]:
    """Different settings, drawn from the authors' grid; all of them if there are no more."""
    choices: dict[str, Sequence[float]] = {"lr": (1e-3,) if margin == "fixed" else (1e-3, 5e-4)}
    if margin != "none":
        fixed, scales = (1e-4, 1e-3, 5e-3, 7.5e-3, 9.9e-3), (1e-1, 5e-2, 1e-2, 1e-3, 1e-4)
        choices |= {"penalty": (0.5, 1.0, 2.0, 5.0, 10.0), "margin": fixed if margin == "fixed" else scales}
    if local:
        choices |= {"hidden": (64, 128), "layers": (2, 3), "dropout": (0.0, 0.05, 0.1)}
    every = [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]
    return [Settings(**chosen) for chosen in random.sample(every, min(searches, len(every)))]  # type: ignore[arg-type]


def search(
    plan: Plan, settings: Sequence[Settings], train: Rows, held: Rows
) -> tuple[Weights, Settings, int]:
    """The weights of the settings that validate best, trained again for their number of steps."""
    best = (math.inf, settings[0], EVERY)
    for chosen in track(settings, "settings"):
        loss, steps = _stopped(plan, chosen, train, held)
        if loss < best[0]:
            best = (loss, chosen, steps)
    _, chosen, steps = best
    return _trained(plan, chosen, train, steps), chosen, steps


def batch_size(rows: int) -> int:
    """``2 ** (3 + floor(log10 n))``.

    Examples
    --------
    >>> batch_size(999), batch_size(1000)
    (32, 64)
    """
    return int(2 ** (3 + math.floor(math.log10(rows))))


class _Training:
    """A network on its way: its weights, its optimiser, its batches."""

    def __init__(self, plan: Plan, settings: Settings, rows: Rows) -> None:
        self.plan, self.settings, self.rows = plan, settings, rows
        self.weights = plan.build(settings)
        self.optimiser = torch.optim.Adam(
            self.weights.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, amsgrad=True
        )
        self.margins = _margins(plan, settings, rows)
        self._batches: Iterator[Tensor] = iter(())

    def step(self) -> None:
        """One batch."""
        batch = self.rows[self._next()]
        self.weights.train()
        combined = self.weights(batch.z, batch.x)
        loss = pinball(self.plan.through(combined), batch.y, self.plan.levels)
        if self.settings.penalty:
            loss = loss + self.settings.penalty * crossing(combined, self.margins)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()

    def validate(self, held: Rows) -> float:
        """Pinball loss of the repaired quantiles on rows that are not trained on."""
        self.weights.eval()
        with torch.no_grad():
            combined = self.plan.repair(self.weights(held.z, held.x))
            return pinball(combined, held.y, self.plan.levels).item()

    def _next(self) -> Tensor:
        batch = next(self._batches, None)
        if batch is None:
            order = torch.randperm(len(self.rows))
            self._batches = iter(torch.split(order, batch_size(len(self.rows))))
            batch = next(self._batches)
        return batch


def _stopped(plan: Plan, settings: Settings, train: Rows, held: Rows) -> tuple[float, int]:
    """The least validation loss, and after how many steps it was reached."""
    training = _Training(plan, settings, train)
    best, reached = math.inf, 0
    for step in range(1, plan.max_steps + 1):
        training.step()
        if step % EVERY == 0:
            loss = training.validate(held)
            if loss < best:
                best, reached = loss, step
            elif step - reached >= plan.patience:
                break
    return best, reached


def _trained(plan: Plan, settings: Settings, train: Rows, steps: int) -> Weights:
    training = _Training(plan, settings, train)
    for _ in range(steps):
        training.step()
    return training.weights.eval()


def _margins(plan: Plan, settings: Settings, rows: Rows) -> Tensor:
    m = len(plan.levels)
    if not plan.adaptive:
        return torch.full((m, m), settings.margin)
    middle = int((plan.levels - 0.5).abs().argmin())
    pilot = rows.z[:, :, middle].median(dim=1).values
    return adaptive_margins(rows.y - pilot, plan.levels, settings.margin)
