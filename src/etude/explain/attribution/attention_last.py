"""Attention of the last layer: what the last token looks at before it speaks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from etude.explain.attribution.attribution import Attribution
from etude.explain.attribution.probe import Probe, with_attentions
from etude.method import method
from etude.models.likelihood import evaluating


@method("attention-last", task="attribution")
class AttentionLast:
    """Take the last layer's attention from the last token, averaged over heads.

    Raises
    ------
    InputError : if an input cannot be used.

    Examples
    --------
    >>> import etude
    >>> model, tokenizer = etude.models.load("nano-llama")
    >>> ids = tokenizer("Mr. Harding looked at Mr. Har", return_tensors="pt")["input_ids"][0]
    >>> AttentionLast().attribute(model, tokenizer, ids).forwards
    2
    """

    def attribute(self, model: Any, tokenizer: Any, ids: Tensor, target: int | None = None) -> Attribution:
        """Explain the next token behind ``ids`` ``[length]``; ``target`` None is the most likely one."""
        probe = Probe(model, tokenizer, ids, target)
        return probe.attribution(attentions(probe)[-1, -1])


@torch.no_grad()
def attentions(probe: Probe) -> Tensor:
    """Attention of every layer over the prompt, averaged over heads, ``[layers, length, length]``."""
    with evaluating(probe.model), with_attentions(probe.model):
        outputs = probe.model(input_ids=probe.ids[None], output_attentions=True, use_cache=False)
    probe.forwards += 1
    return torch.stack([layer[0].float().mean(0) for layer in outputs.attentions])
