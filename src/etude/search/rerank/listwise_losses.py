"""What listwise rerankers learn by: losses of the identifiers' logits, and weights of the answer's tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, logsigmoid, softplus

RankLoss = Literal["ranknet", "listnet", "lambdarank", "none"]
FACTORS = {"ranknet": 10.0, "listnet": 0.1, "lambdarank": 1.0, "none": 0.0}
"""How much each counts beside the language model's loss."""


def weighted_ranknet(scores: Tensor, ranks: Tensor) -> Tensor:
    """Mean over pairs, i better than j, of ``log(1 + exp(s_j - s_i)) / (r_i + r_j)``.

    Parameters
    ----------
    scores : of the passages, ``[passages]``.
    ranks : of the passages, 1 for the best, ``[passages]``.

    Examples
    --------
    >>> weighted_ranknet(torch.tensor([0.0, 0.0]), torch.tensor([2, 1]))
    tensor(0.2310)
    """
    better, worse = _pairs(ranks)
    weights = 1 / (ranks[better] + ranks[worse])
    return (weights * softplus(scores[worse] - scores[better])).mean()


def listnet(scores: Tensor, ranks: Tensor) -> Tensor:
    """Cross-entropy of the softmax of scores under that of the same scores in the right order.

    As in FIRST's code, what a passage should score is the r-th highest of the present scores; no gradient
    goes into it.
    """
    target = _deserved(scores, ranks).softmax(0)
    return -(target * scores.log_softmax(0)).sum()


def lambdarank(scores: Tensor, ranks: Tensor) -> Tensor:
    """LambdaLoss of NDCG (loss 2), mean over pairs, in base 2, with the scores in the right order as grades.

    As in FIRST's code, a passage's grade is the r-th highest of the present scores, 0 where that is negative;
    no gradient goes into it.
    """
    grades = _deserved(scores, ranks)
    order = scores.detach().argsort(descending=True, stable=True)
    ranked, graded = scores[order], grades[order]
    places = torch.arange(1, len(scores) + 2, dtype=scores.dtype)
    discount = torch.log2(1 + places)
    gains = 2 ** graded.clamp(min=0) - 1
    ideal = 2 ** grades.sort(descending=True).values.clamp(min=0) - 1
    gains = gains / (ideal / discount[:-1]).sum().clamp(min=1e-10)
    apart = (places[:-1, None] - places[None, :-1]).abs().long().clamp(min=1)
    weights = (1 / discount[apart - 1] - 1 / discount[apart]).abs() * (gains[:, None] - gains).abs()
    better, worse = (graded[:, None] > graded).nonzero(as_tuple=True)
    losses = (
        -weights[better, worse] * logsigmoid(ranked[better] - ranked[worse]) / torch.log(torch.tensor(2.0))
    )
    return losses.mean() if len(losses) else scores.sum() * 0


RANK_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "ranknet": weighted_ranknet,
    "listnet": listnet,
    "lambdarank": lambdarank,
}
"""Losses of one list's scores ``[passages]`` and gold ranks ``[passages]`` from 1."""


def importance(labels: Tensor, separators: Tensor) -> Tensor:
    """FullRank's weights of an answer's tokens: an identifier at rank r counts ``1 + 1 / log2(r + 1)``.

    Brackets count as their identifier does, separators and the end 1, what is no label 0.

    Parameters
    ----------
    labels : token ids of answers ``[answers, tokens]``, -100 where there is none.
    separators : the tokens that hold a ``>``, and the end.

    Examples
    --------
    >>> importance(torch.tensor([[-100, 7, 0, 8, 0, 9]]), torch.tensor([0]))
    tensor([[0.0000, 2.0000, 1.0000, 1.6309, 1.0000, 1.5000]])
    """
    separates = torch.isin(labels, separators)
    rank = 1 + separates.long().cumsum(1)
    weights = torch.where(separates, 1.0, 1 + 1 / torch.log2(rank + 1.0))
    return weights * (labels != -100)


def label_loss(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Cross-entropy of labels, each times its weight, by the number of labels (not the sum of weights).

    Parameters
    ----------
    logits : what predicts each label, ``[answers, tokens, vocabulary]``.
    labels : token ids ``[answers, tokens]``, -100 where there is none.
    weights : ``[answers, tokens]``; None for 1.
    """
    losses = cross_entropy(logits.transpose(1, 2), labels, reduction="none", ignore_index=-100)
    total = losses.sum() if weights is None else (losses * weights).sum()
    return total / (labels != -100).sum()


def _pairs(ranks: Tensor) -> tuple[Tensor, Tensor]:
    better, worse = (ranks[:, None] < ranks).nonzero(as_tuple=True)
    return better, worse


def _deserved(scores: Tensor, ranks: Tensor) -> Tensor:
    return scores.detach().sort(descending=True).values[ranks - 1]
