"""Integrated gradients: gradients along the straight way from no embedding to the token's."""

from __future__ import annotations

from typing import Annotated, Any

import annotated_types as at
import torch
from torch import Tensor

from etude.explain.attribution.attribution import Attribution
from etude.explain.attribution.input_x_gradient import gradient
from etude.explain.attribution.probe import BATCH_TOKENS, Probe
from etude.method import method


@method("integrated-gradients", task="attribution")
class IntegratedGradients:
    """Average gradients at the middles of equal steps from zero embeddings, times the embeddings.

    The sum of `Attribution.raw` approaches the target's log-probability behind the prompt less that behind
    zero embeddings, the closer the more steps.

    Parameters
    ----------
    points : of the way at which the gradient is taken.

    Raises
    ------
    InputError : if a field is out of range or an input cannot be used.

    Examples
    --------
    >>> import etude
    >>> model, tokenizer = etude.models.load("nano-llama")
    >>> ids = tokenizer("Mr. Harding looked at Mr. Har", return_tensors="pt")["input_ids"][0]
    >>> IntegratedGradients(points=8).attribute(model, tokenizer, ids).forwards
    9

    References
    ----------
    Sundararajan et al., "Axiomatic Attribution for Deep Networks", ICML 2017. arXiv:1703.01365.
    """

    points: Annotated[int, at.Ge(1)] = 50

    def attribute(self, model: Any, tokenizer: Any, ids: Tensor, target: int | None = None) -> Attribution:
        """Explain the next token behind ``ids`` ``[length]``; ``target`` None is the most likely one."""
        probe = Probe(model, tokenizer, ids, target)
        embeddings = probe.embeddings
        middles = (torch.arange(self.points) + 0.5) / self.points
        total = torch.zeros_like(embeddings)
        for shares in torch.split(middles, max(1, BATCH_TOKENS // probe.length)):
            total += gradient(probe, shares[:, None, None] * embeddings).sum(0)
        return probe.attribution((embeddings * total / self.points).sum(1))
