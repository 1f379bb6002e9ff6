"""Explain a text's continuation, token by token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from etude.errors import InputError
from etude.explain.attribution.attribution import Attribution, Explanation


class Attributor(Protocol):
    """What every method of attribution is."""

    @property
    def attribute(self) -> Callable[..., Attribution]:
        """``attribute(model, tokenizer, ids, target=None)``."""


def explain(
    method: Attributor, model: Any, tokenizer: Any, text: str, continuation: str | int = 1
) -> Explanation:
    """Attribute each token that follows a text to all tokens before it.

    Parameters
    ----------
    method : an instance of a method of attribution.
    model, tokenizer : a causal language model and its tokenizer.
    text : the prompt; no special tokens are added.
    continuation : the text that follows, or how many of the model's own most likely tokens.

    Raises
    ------
    InputError : if the text or the continuation has no tokens, or an input cannot be used.

    Examples
    --------
    >>> import etude
    >>> from etude.explain.attribution import AttentionLast
    >>> model, tokenizer = etude.models.load("nano-llama")
    >>> found = explain(AttentionLast(), model, tokenizer, "It was a dark", continuation=2)
    >>> [len(row) for row in found.map], found.map[0][-1]
    ([5, 5], 0.0)
    """
    ids = encoded(tokenizer, text, "text")
    targets: list[int | None]
    if isinstance(continuation, str):
        targets = [*encoded(tokenizer, continuation, "continuation").tolist()]
    elif continuation >= 1:
        targets = [None] * continuation
    else:
        raise InputError("continuation", f"{continuation} is not a text, or a number of tokens of 1 or more")
    steps = []
    for target in targets:
        steps.append(method.attribute(model, tokenizer, ids, target))
        ids = torch.cat([ids, torch.tensor([steps[-1].target_id])])
    return Explanation(tuple(steps))


def encoded(tokenizer: Any, text: str, field: str) -> Tensor:
    """The token ids of a text, ``[length]``, without special tokens."""
    found = tokenizer(text, add_special_tokens=False, return_attention_mask=False)["input_ids"]
    if not found:
        raise InputError(field, "has no tokens; give some text")
    return torch.tensor(found, dtype=torch.long)
