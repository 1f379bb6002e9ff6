"""How well a masked language model predicts text that it has not seen."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from etude.data.masked import check_tokens
from etude.errors import InputError
from etude.models.likelihood import BATCH_TOKENS, evaluating
from etude.progress import track

APART = 8
"""Places between tokens that are hidden together: about one in seven is hidden in pre-training."""


def check_masked(model: Any) -> None:
    """Raise `InputError` if the model predicts no masked tokens."""
    if not type(model).__name__.endswith("ForMaskedLM"):
        raise InputError("model", f"{type(model).__name__} predicts no masked tokens; give a masked model")


@torch.no_grad()
def pseudo_perplexity(model: Any, segments: Tensor, tokenizer: Any, *, apart: int = APART) -> float:
    """``exp`` of the mean negative log-likelihood of each token, hidden, given all that is not.

    Every token that is not special is hidden once, together with those ``apart`` places before and behind.

    Parameters
    ----------
    model : a masked language model.
    segments : token ids with special tokens, int64 ``[segments, length]``.
    tokenizer : has a mask.
    apart : places between tokens that are hidden together; from ``length`` on each is hidden alone, as in
        the paper, at as many forward passes.

    Returns
    -------
    float : at least 1.

    Raises
    ------
    InputError : if the model predicts no masked tokens, or the tokenizer has no mask.

    Examples
    --------
    >>> from etude.models import load
    >>> model, tokenizer = load("nano-bert")
    >>> ids = tokenizer("He took off his hat and sat down by the fire.", return_tensors="pt")["input_ids"]
    >>> pseudo_perplexity(model, ids, tokenizer) < 100
    True

    References
    ----------
    Salazar et al., "Masked Language Model Scoring", ACL 2020. arXiv:1910.14659.
    """
    check_masked(model)
    check_tokens(tokenizer)
    usable = torch.isin(segments, torch.tensor(tokenizer.all_special_ids), invert=True)
    places = torch.arange(segments.shape[1]) % apart
    rows = max(1, BATCH_TOKENS // segments.shape[1])
    total = 0.0
    with evaluating(model):
        for place in track(range(min(apart, segments.shape[1])), "pseudo-perplexity"):
            hidden = usable & (places == place)
            for ids, chosen in zip(torch.split(segments, rows), torch.split(hidden, rows), strict=True):
                logits = model(input_ids=ids.masked_fill(chosen, tokenizer.mask_token_id)).logits[chosen]
                total += float(cross_entropy(logits, ids[chosen], reduction="sum"))
    return math.exp(total / int(usable.sum()))
