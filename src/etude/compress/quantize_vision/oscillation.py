"""Weights that flip to and fro between two codes while they are trained."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from etude.compress.quantize_vision.weights import Latent

MOMENTUM = 0.01
OFTEN = 0.005
"""A weight oscillates if it does so more often than this, on the moving average over steps."""


class OscillationMonitor:
    """Counts how often the codes of rounded weights turn back.

    At each step, a weight whose code changes in the direction opposite to its last change oscillates. The
    frequency of that is a moving average, ``f <- 0.01 o + 0.99 f``.

    Parameters
    ----------
    weights : to watch; their codes are looked at now and at each `step`.

    References
    ----------
    Nagel et al., "Overcoming Oscillations in Quantization-Aware Training", ICML 2022. arXiv:2203.11086.
    """

    def __init__(self, weights: Iterable[Latent]) -> None:
        self._watched = [_Watched(latent) for latent in weights]
        self._shares: list[float] = []

    def step(self) -> None:
        """Look at the codes once more."""
        for watched in self._watched:
            watched.step()
        often = sum(int((watched.frequency > OFTEN).sum()) for watched in self._watched)
        self._shares.append(often / max(1, sum(watched.frequency.numel() for watched in self._watched)))

    def share(self, last: float = 0.2) -> float:
        """Share of the weights that oscillate, averaged over the last part of the steps."""
        part = self._shares[-max(1, round(last * len(self._shares))) :]
        return sum(part) / len(part) if part else 0.0


class _Watched:
    """The codes of one weight as they were, and which way each went last."""

    def __init__(self, latent: Latent) -> None:
        self._latent = latent
        self._codes: Tensor = latent.codes()
        self._direction = torch.zeros_like(self._codes)
        self.frequency = torch.zeros_like(self._codes)

    def step(self) -> None:
        codes = self._latent.codes()
        change = (codes - self._codes).sign_()
        turned = change * self._direction < 0
        self.frequency.mul_(1 - MOMENTUM).add_(turned, alpha=MOMENTUM)
        self._direction = torch.where(change == 0, self._direction, change)
        self._codes = codes
