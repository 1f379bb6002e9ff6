"""Weights of quantile models: how finely they tell models, levels and inputs apart."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

Resolution = Literal["coarse", "medium", "fine"]


class Weights(nn.Module):
    """Convex combinations of p models' quantiles at m levels.

    ``coarse`` has a weight for each model; ``medium`` for each model and level; ``fine`` combines all
    models' quantiles at all levels into each level. Global logits are free numbers and begin at 0; local
    ones come from the features, by a network.

    Parameters
    ----------
    models, levels : p and m.
    resolution : see above.
    features : how many there are, for local weights; None for global ones.
    hidden, layers, dropout : of the network: width and number of its hidden layers.
    """

    def __init__(
        self,
        models: int,
        levels: int,
        resolution: Resolution,
        features: int | None = None,
        *,
        hidden: int = 64,
        layers: int = 2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        inputs = models * levels if resolution == "fine" else models
        outputs = 1 if resolution == "coarse" else levels
        self.resolution = resolution
        self.shape = (inputs, outputs)
        if features is None:
            self.logits = nn.Parameter(torch.zeros(inputs * outputs))
            self.network: nn.Module | None = None
        else:
            self.network = _network(features, hidden, layers, dropout, inputs * outputs)

    def weights(self, x: Tensor) -> Tensor:
        """At features ``x [n, d]``: ``[n, p, 1]``, ``[n, p, m]`` or ``[n, p m, m]``; over the second they
        sum to 1. Of global weights there is one row for all."""
        logits = self.logits[None] if self.network is None else self.network(x)
        return logits.view(-1, *self.shape).softmax(dim=1)

    def forward(self, z: Tensor, x: Tensor) -> Tensor:
        """Combined quantiles ``[n, m]`` of ``z [n, p, m]``; not in order where weights differ by level."""
        inputs = z.flatten(1)[:, :, None] if self.resolution == "fine" else z
        return (inputs * self.weights(x)).sum(dim=1)


def _network(features: int, hidden: int, layers: int, dropout: float, outputs: int) -> nn.Module:
    """Hidden layers with ELU, dropout between them."""
    widths = [features, *[hidden] * layers]
    parts: list[nn.Module] = []
    for number, (before, after) in enumerate(pairwise(widths)):
        parts += [nn.Dropout(dropout)] if number else []
        parts += [nn.Linear(before, after), nn.ELU()]
    return nn.Sequential(*parts, nn.Linear(hidden, outputs))
