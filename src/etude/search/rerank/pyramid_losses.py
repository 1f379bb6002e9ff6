"""What Pyramid-ERNIE is trained by: pairs of one query's documents, and anchors on a human scale."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import relu


def hinge(scores: Tensor, grades: Tensor, margin: float) -> Tensor:
    """``max(0, f_j - f_i + margin)`` summed over all pairs of a query's documents with ``g_i > g_j``.

    Parameters
    ----------
    scores, grades : of the documents, ``[documents]``.

    Examples
    --------
    >>> import torch
    >>> hinge(torch.tensor([0.75, 0.5, 0.75]), torch.tensor([2.0, 1.0, 1.0]), margin=0.125)
    tensor(0.1250)
    """
    return relu(scores[None, :] - scores[:, None] + margin)[grades[:, None] > grades[None, :]].sum()


def anchors(grades: Tensor) -> Tensor:
    """Where the scores of grades 0 to 4 should lie: 0.1, 0.3, 0.5, 0.7, 0.9."""
    return grades / 5 + 0.1


def off_anchor(scores: Tensor, grades: Tensor, slack: float) -> Tensor:
    """``max((f - anchor)^2 - slack, 0)`` summed over documents: nothing within ``sqrt(slack)`` of the anchor.

    Examples
    --------
    >>> import torch
    >>> off_anchor(torch.tensor([0.19, 0.9]), torch.tensor([0.0, 0.0]), slack=0.01)
    tensor(0.6300)
    """
    return relu((scores - anchors(grades)).square() - slack).sum()


def anchored(scores: Tensor, grades: Tensor, *, margin: float, weight: float, slack: float) -> Tensor:
    """The hinge of pairs and ``weight`` times the distance from anchors, over the number of documents."""
    found = hinge(scores, grades, margin) + weight * off_anchor(scores, grades, slack)
    return found / max(1, len(scores))
