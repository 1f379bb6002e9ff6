"""How well scores tell machines from people."""

from __future__ import annotations

from torch import Tensor


def auroc(scores: Tensor, labels: Tensor) -> float:
    """Chance that a machine's text scores above a person's; equal scores count half.

    Examples
    --------
    >>> import torch
    >>> auroc(torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([0, 0, 1, 1]))
    0.75
    """
    machine, human = scores[labels == 1].double(), scores[labels == 0].double()
    above = (machine[:, None] > human[None]).double() + 0.5 * (machine[:, None] == human[None]).double()
    return float(above.mean())


def recall_at(scores: Tensor, labels: Tensor, rate: float) -> float:
    """Share of machines' texts above a threshold that at most ``rate`` of these people's texts exceed.

    Examples
    --------
    >>> import torch
    >>> recall_at(torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([0, 0, 1, 1]), rate=0.05)
    0.5
    """
    human = scores[labels == 0].sort(descending=True).values
    threshold = human[int(rate * len(human))]
    return float((scores[labels == 1] > threshold).double().mean())


def average_recall(chances: Tensor, labels: Tensor) -> float:
    """Mean of the shares of machines' and of people's texts that are told right at probability 1/2."""
    told = (chances >= 0.5) == (labels == 1)
    return 0.5 * float(told[labels == 1].double().mean() + told[labels == 0].double().mean())
