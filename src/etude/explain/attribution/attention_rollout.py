"""Attention rollout: attention followed down through all layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from etude.explain.attribution.attention_last import attentions
from etude.explain.attribution.attribution import Attribution
from etude.explain.attribution.probe import Probe
from etude.method import method


@method("attention-rollout", task="attribution")
class AttentionRollout:
    """Multiply the attentions of all layers, each averaged with the identity for the residual stream.

    ``R = prod_l (A_l + I) / 2``, heads averaged; the scores are its last row, which sums to 1.

    Raises
    ------
    InputError : if an input cannot be used.

    Examples
    --------
    >>> import etude
    >>> model, tokenizer = etude.models.load("nano-llama")
    >>> ids = tokenizer("Mr. Harding looked at Mr. Har", return_tensors="pt")["input_ids"][0]
    >>> AttentionRollout().attribute(model, tokenizer, ids).forwards
    2

    References
    ----------
    Abnar and Zuidema, "Quantifying Attention Flow in Transformers", ACL 2020. arXiv:2005.00928.
    """

    def attribute(self, model: Any, tokenizer: Any, ids: Tensor, target: int | None = None) -> Attribution:
        """Explain the next token behind ``ids`` ``[length]``; ``target`` None is the most likely one."""
        probe = Probe(model, tokenizer, ids, target)
        return probe.attribution(rollout(attentions(probe)))


def rollout(layers: Tensor) -> Tensor:
    """The last row of the rollout of attentions ``[layers, length, length]``."""
    row = torch.eye(layers.shape[1])[-1]
    for layer in layers.flip(0):
        row = 0.5 * (row @ layer) + 0.5 * row
    return row
