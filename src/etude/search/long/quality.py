"""How well questions find their documents, where documents may be told apart by nothing."""

from __future__ import annotations

import torch
from torch import Tensor

ALIKE = 1e-6
"""Cosines that differ by no more are equal: the same text in another batch gives as much."""


def ndcg(scores: Tensor, answers: Tensor, k: int) -> float:
    """nDCG@k where each question has one relevant document; with k = 1, accuracy.

    Documents of equal scores stand in a random order, and the mean over all of them counts: an encoder that
    reads equal beginnings of different documents guesses, and is not given what it cannot know.

    Parameters
    ----------
    scores : cosines ``[questions, documents]``.
    answers : number of each question's document, ``[questions]``.
    k : places that count.

    Examples
    --------
    >>> ndcg(torch.tensor([[0.9, 0.1, 0.5], [0.4, 0.4, 0.1]]), torch.tensor([0, 1]), k=1)
    0.75
    """
    own = scores.gather(1, answers[:, None])
    above = (scores > own + ALIKE).sum(1)
    alike = ((scores - own).abs() <= ALIKE).sum(1)
    ranks = torch.arange(1, scores.shape[1] + 1, dtype=torch.float64)
    gains = (1 / (ranks + 1).log2()).masked_fill(ranks > k, 0)
    upto = torch.cat([torch.zeros(1, dtype=torch.float64), gains.cumsum(0)])
    return float(((upto[above + alike] - upto[above]) / alike).mean())
