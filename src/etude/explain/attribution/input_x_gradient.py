"""Input times gradient: how the log-probability grows along each token's embedding."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from etude.explain.attribution.attribution import Attribution
from etude.explain.attribution.probe import Probe
from etude.method import method


@method("input-x-gradient", task="attribution")
class InputXGradient:
    """Multiply each token's embedding with the gradient of the target's log-probability to it.

    ``a_i = sum_d E_id * d log p(target) / d E_id``, signed in `Attribution.raw`; the scores are its sizes.

    Raises
    ------
    InputError : if an input cannot be used.

    Examples
    --------
    >>> import etude
    >>> model, tokenizer = etude.models.load("nano-llama")
    >>> ids = tokenizer("Mr. Harding looked at Mr. Har", return_tensors="pt")["input_ids"][0]
    >>> InputXGradient().attribute(model, tokenizer, ids).forwards
    2

    References
    ----------
    Shrikumar et al., "Learning Important Features Through Propagating Activation Differences", ICML 2017.
    arXiv:1704.02685.
    """

    def attribute(self, model: Any, tokenizer: Any, ids: Tensor, target: int | None = None) -> Attribution:
        """Explain the next token behind ``ids`` ``[length]``; ``target`` None is the most likely one."""
        probe = Probe(model, tokenizer, ids, target)
        embeddings = probe.embeddings[None]
        return probe.attribution((embeddings * gradient(probe, embeddings)).sum(2)[0])


def gradient(probe: Probe, embeddings: Tensor) -> Tensor:
    """Of the target's log-probability to each row of embeddings ``[rows, length, width]``."""
    with torch.enable_grad():
        leaf = embeddings.detach().requires_grad_()
        return torch.autograd.grad(probe.log_probability(leaf).sum(), leaf)[0]
