"""Conditional quantisation-aware accuracy predictor (CQAP): what a sub-network scores, without running it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from etude.compress.quantize_vision.formats import BITS

Lists = NDArray[np.int64]
"""Bits of weights and of activations for each layer: ``[lists, 2, layers]``."""
Kind = tuple[Any, bool, bool]
"""Granularity, symmetry of weights, symmetry of activations: one for a whole sub-network."""
CONDITIONS = 6


def features(lists: Lists, kinds: list[Kind]) -> Tensor:
    """Sub-networks in zeros and ones, ``[lists, 6 + 14 * layers]``.

    Two places for each part of a kind, then for each layer seven for the bits of its weights, and for each
    seven for those of its activations. Places of the first and the last layer stay empty: their bits do not
    vary. (In the authors' code, what is asymmetric leaves its place empty too.)

    Parameters
    ----------
    lists : bits, ``[lists, 2, layers]``.
    kinds : as many.

    Examples
    --------
    >>> features(np.full((1, 2, 3), 4), [("tensor", True, False)])[0, :6].tolist()
    [0.0, 1.0, 1.0, 0.0, 0.0, 1.0]
    """
    count, _, layers = lists.shape
    one_hot = np.zeros((count, 2, layers, len(BITS)), dtype=np.float32)
    inner = lists[:, :, 1:-1] - BITS[0]
    np.put_along_axis(one_hot[:, :, 1:-1], inner[..., None], 1.0, axis=-1)
    yes = np.array([(granularity == "channel", first, second) for granularity, first, second in kinds])
    conditions = np.stack([yes, ~yes], axis=-1).reshape(count, CONDITIONS)
    return torch.from_numpy(
        np.concatenate([conditions, one_hot.reshape(count, -1)], axis=1).astype(np.float32)
    )


class Predictor(nn.Module):
    """Seven layers of 200 rectified units, added to the mean accuracy of what was measured.

    Parameters
    ----------
    width : of the features.
    base : mean accuracy, in [0, 1].
    """

    def __init__(self, width: int, base: float) -> None:
        super().__init__()
        hidden: list[nn.Module] = []
        for index in range(7):
            hidden += [nn.Linear(width if index == 0 else 200, 200), nn.ReLU()]
        self.layers = nn.Sequential(*hidden, nn.Linear(200, 1, bias=False))
        self.register_buffer("base", torch.tensor(base))

    def forward(self, x: Tensor) -> Tensor:
        """Accuracies in [0, 1] of features ``[lists, width]``."""
        predicted: Tensor = self.layers(x)[:, 0] + self.base
        return predicted


def learn(x: Tensor, accuracies: Tensor, *, epochs: int = 100, batch: int = 256) -> Predictor:
    """Fit a predictor to measured sub-networks: smooth L1, Adam at 4e-4, weight decay 1e-5."""
    predictor = Predictor(x.shape[1], float(accuracies.mean()))
    optimizer = torch.optim.Adam(predictor.parameters(), lr=4e-4, weight_decay=1e-5)
    for _ in range(epochs):
        for at in torch.randperm(len(x)).split(batch):  # type: ignore[no-untyped-call]
            optimizer.zero_grad(set_to_none=True)
            F.smooth_l1_loss(predictor(x[at]), accuracies[at]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return predictor.eval()


def kendall(first: Tensor, second: Tensor) -> float:
    """Kendall's tau-b of two rankings, in [-1, 1]; 0 where one of them is constant.

    Examples
    --------
    >>> kendall(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 3.0, 2.0]))
    0.3333333432674408
    """
    a = (first[:, None] - first).sign()
    b = (second[:, None] - second).sign()
    size = (a.abs().sum() * b.abs().sum()).sqrt()
    return float((a * b).sum() / size) if size > 0 else 0.0
