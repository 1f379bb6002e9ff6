"""Random scores: the floor under every attribution."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from etude.explain.attribution.attribution import Attribution
from etude.explain.attribution.probe import Probe
from etude.method import method


@method("random-scores", task="attribution")
class RandomScores:
    """Take the softmax of uniform random numbers, as the paper's random baseline does.

    Draws from torch's generator.

    Raises
    ------
    InputError : if an input cannot be used.

    Examples
    --------
    >>> import etude
    >>> model, tokenizer = etude.models.load("nano-llama")
    >>> ids = tokenizer("Mr. Harding looked at Mr. Har", return_tensors="pt")["input_ids"][0]
    >>> round(sum(RandomScores().attribute(model, tokenizer, ids).scores), 6)
    1.0
    """

    def attribute(self, model: Any, tokenizer: Any, ids: Tensor, target: int | None = None) -> Attribution:
        """Explain the next token behind ``ids`` ``[length]``; ``target`` None is the most likely one."""
        probe = Probe(model, tokenizer, ids, target)
        return probe.attribution(torch.rand(probe.length).softmax(0))
