"""Occlusion: each token in turn is replaced by one that says nothing."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from etude.explain.attribution.attribution import Attribution
from etude.explain.attribution.probe import Probe
from etude.method import method


@method("occlusion", task="attribution")
class Occlusion:
    """Put a blank token in the place of each token alone: by how much does the log-probability fall?

    Raises
    ------
    InputError : if an input cannot be used.

    Examples
    --------
    >>> import etude
    >>> model, tokenizer = etude.models.load("nano-llama")
    >>> ids = tokenizer("Mr. Harding looked at Mr. Har", return_tensors="pt")["input_ids"][0]
    >>> Occlusion().attribute(model, tokenizer, ids).forwards == 1 + len(ids)
    True
    """

    def attribute(self, model: Any, tokenizer: Any, ids: Tensor, target: int | None = None) -> Attribution:
        """Explain the next token behind ``ids`` ``[length]``; ``target`` None is the most likely one."""
        probe = Probe(model, tokenizer, ids, target)
        gone = torch.eye(probe.length, dtype=torch.bool)
        left = probe.next(torch.where(gone, blank(probe), probe.ids))[:, probe.target]
        return probe.attribution(probe.probabilities[probe.target].log() - left.log())


def blank(probe: Probe) -> int:
    """A token that says nothing: for padding, unknown words or the end of a text, whichever there is."""
    for name in ("pad_token_id", "unk_token_id", "eos_token_id"):
        token = getattr(probe.tokenizer, name, None)
        if token is not None:
            return int(token)
    return 0
