"""How faithful an attribution is: what becomes of the prediction as tokens fade by their importance.

*Soft* measures keep every number of a token's embedding with the chance of its score, or of one less its
score, and set it to zero otherwise. *Hard* ones erase the embeddings of the most important tokens, or of all
others. Positions stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from etude.explain.attribution.probe import Probe

SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)
"""Of the tokens that hard measures keep or erase; at least one."""


@dataclass(frozen=True)
class Soft:
    """Soft measures of one attribution.

    Parameters
    ----------
    sufficiency : 1 less the distance from the whole prompt's prediction, embeddings kept by the scores.
    comprehensiveness : the distance, embeddings kept by one less the scores.
    nothing : the sufficiency of embeddings that are all zero.

    References
    ----------
    Zhao and Aletras, "Incorporating Attribution Importance for Improving Faithfulness Metrics", ACL 2023.
    arXiv:2305.10496.
    """

    sufficiency: float
    comprehensiveness: float
    nothing: float

    @property
    def ns(self) -> float:
        """Soft normalised sufficiency: 0 where the scores keep no more than nothing, 1 for all of it."""
        return max(0.0, self.sufficiency - self.nothing) / self._room

    @property
    def nc(self) -> float:
        """Soft normalised comprehensiveness: 0 where nothing is lost, 1 where everything is."""
        return self.comprehensiveness / self._room

    @property
    def _room(self) -> float:
        return max(1 - self.nothing, 1e-12)


def soft(probe: Probe, scores: Sequence[float] | Tensor, draws: int = 16) -> Soft:
    """Soft sufficiency and comprehensiveness of scores for the next token, averaged over draws.

    Parameters
    ----------
    probe : the model behind the prompt.
    scores : chances of keeping, in [0, 1], ``[length]``.
    draws : of zeros for each measure. Draws from torch's generator.

    Examples
    --------
    >>> import etude
    >>> model, tokenizer = etude.models.load("nano-llama")
    >>> probe = Probe(model, tokenizer, torch.tensor([10, 20, 30]))
    >>> found = soft(probe, [1.0, 1.0, 1.0], draws=2)
    >>> round(found.ns, 4), round(found.nc, 4)
    (1.0, 1.0)
    """
    chances = torch.as_tensor(scores, dtype=torch.float32)[:, None]
    embeddings = probe.embeddings
    kept, lost = (
        embeddings * (torch.rand(draws, *embeddings.shape) < chance) for chance in (chances, 1 - chances)
    )
    answers = probe.next(torch.cat([kept, lost, torch.zeros_like(embeddings)[None]]))
    away = distance(answers, probe.probabilities).double()
    return Soft(1 - float(away[:draws].mean()), float(away[draws:-1].mean()), 1 - float(away[-1]))


def distance(left: Tensor, right: Tensor) -> Tensor:
    """Between distributions along the last axis: ``sum (sqrt p - sqrt q)^2 / sqrt 2``, from 0 to sqrt 2.

    As in the authors' code: the squared Hellinger distance times the root of 2.
    """
    return ((left.sqrt() - right.sqrt()) ** 2).sum(-1) / math.sqrt(2)


def hard(probe: Probe, scores: Sequence[float] | Tensor) -> tuple[float, float]:
    """Comprehensiveness and sufficiency by erasing tokens, averaged over `SHARES`.

    Returns
    -------
    (comprehensiveness, sufficiency) : how far the target's probability falls where the most important
        tokens are erased (higher is better), and where all but them are (lower is better).
    """
    order = torch.as_tensor(scores).argsort(descending=True, stable=True)
    counts = [max(1, math.ceil(share * probe.length)) for share in SHARES]
    important = torch.zeros(len(counts), probe.length, dtype=torch.bool)
    for row, count in enumerate(counts):
        important[row, order[:count]] = True
    erased = probe.embeddings * torch.cat([~important, important])[..., None]
    falls = probe.probability - probe.next(erased)[:, probe.target].double()
    return float(falls[: len(counts)].mean()), float(falls[len(counts) :].mean())
