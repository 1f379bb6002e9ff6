"""What IDCM is trained by: pairs of documents, and the cross-encoder's own order of a document's windows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

Distillation = Literal["ndcg2", "mse", "cross-entropy"]


def ranknet(better: Tensor, worse: Tensor) -> Tensor:
    """Mean of ``log(1 + exp(worse - better))`` (Burges et al., 2005), for labels that are certain."""
    return softplus(worse - better).mean()


def grades(teacher: Tensor, k: int) -> Tensor:
    """Labels k, k - 1 .. 1 for a document's ``k`` windows that the teacher puts first, 0 for the others.

    Parameters
    ----------
    teacher : scores ``[documents, windows]``, minus infinity where there is no window.

    Examples
    --------
    >>> grades(torch.tensor([[0.1, 0.9, 0.5, -torch.inf]]), k=2)
    tensor([[0., 2., 1., 0.]])
    """
    ranks = teacher.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    return torch.where(teacher.isfinite(), (k - ranks).clamp(min=0), 0).to(teacher.dtype)


def ndcg_loss2(scores: Tensor, labels: Tensor) -> Tensor:
    """NDCG-Loss2 of the LambdaLoss framework (Wang et al., CIKM 2018), summed over pairs, in base 2.

    With ``G = (2^label - 1) / maxDCG`` and ``D(r) = log2(1 + r)``, a pair whose first has the higher label
    and that stands ``r`` ranks apart in the order of the scores adds
    ``-|1 / D(r) - 1 / D(r + 1)| * |G_i - G_j| * log2(sigmoid(s_i - s_j))``.

    Parameters
    ----------
    scores : of the student, ``[documents, windows]``, minus infinity where there is no window.
    labels : `grades`, of the same shape.

    Examples
    --------
    >>> ndcg_loss2(torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.0]]))
    tensor(0.3691)
    """
    order = scores.detach().argsort(dim=1, descending=True, stable=True)
    ranked, graded = scores.gather(1, order), labels.gather(1, order)
    count = scores.shape[1]
    discount = torch.log2(1 + torch.arange(1, count + 2, dtype=scores.dtype))
    ideal = labels.sort(1, descending=True).values
    most = ((2**ideal - 1) / discount[:count]).sum(1, keepdim=True).clamp(min=1e-10)
    gain = (2**graded - 1) / most
    apart = (torch.arange(count)[:, None] - torch.arange(count)).abs().clamp(min=1)
    delta = (1 / discount[apart - 1] - 1 / discount[apart]).abs()
    weights = delta * (gain[:, :, None] - gain[:, None, :]).abs()
    real = ranked.isfinite()
    pairs = (graded[:, :, None] > graded[:, None, :]) & real[:, :, None] & real[:, None, :]
    known = torch.where(real, ranked, 0.0)
    fit = logsigmoid(known[:, :, None] - known[:, None, :]) / math.log(2)
    return -(weights * fit)[pairs].sum()


def _ndcg2(scores: Tensor, teacher: Tensor, k: int) -> Tensor:
    return ndcg_loss2(scores, grades(teacher, k))


def _mse(scores: Tensor, teacher: Tensor, k: int) -> Tensor:
    """Mean squared difference of raw scores."""
    real = teacher.isfinite()
    return (scores[real] - teacher[real]).square().mean()


def _cross_entropy(scores: Tensor, teacher: Tensor, k: int) -> Tensor:
    """Of the student's distribution over a document's windows under the teacher's."""
    logged = torch.where(teacher.isfinite(), scores.log_softmax(1), 0.0)
    return -(teacher.softmax(1) * logged).sum(1).mean()


DISTILLATIONS: dict[str, Callable[[Tensor, Tensor, int], Tensor]] = {
    "ndcg2": _ndcg2,
    "mse": _mse,
    "cross-entropy": _cross_entropy,
}
"""Losses of a student's scores against a teacher's, both ``[documents, windows]``, and k."""
