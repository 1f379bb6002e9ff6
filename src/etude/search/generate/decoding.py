"""Continuations side by side: drawn token by token with one cache, selected, and drawn on from there."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from etude.errors import InputError
from etude.models.likelihood import check_causal, context_length
from etude.search.embedder import padded

Warp = Callable[[Tensor, Tensor], Tensor]
"""From the new tokens ``[rows, n]`` and logits ``[rows, vocabulary]`` to the logits that are drawn from:
any logits processor of transformers."""


@dataclass(frozen=True)
class Rows:
    """Continuations under way.

    Parameters
    ----------
    cache : keys and values of every token of a row but its last.
    last : the last tokens, which the model has not read yet, ``[rows]``.
    mask : 1 for a token and 0 for padding, ``[rows, tokens so far]``.
    """

    cache: Any
    last: Tensor
    mask: Tensor

    def select(self, places: Tensor) -> Rows:
        """The rows at ``places``, in that order; a row may come several times."""
        chosen = copy.copy(self.cache)
        chosen.layers = [copy.copy(layer) for layer in self.cache.layers]
        chosen.batch_select_indices(places)
        return Rows(chosen, self.last[places], self.mask[places])


class Drawn(NamedTuple):
    """What `draw` gave.

    Parameters
    ----------
    rows : to be drawn on from.
    tokens : int64 ``[rows, steps]``; behind the end of a text they mean nothing.
    counts : how many tokens of a row were drawn, its end included, ``[rows]``.
    log_likelihoods : of these under the model as it is, in nats, ``[rows]``.
    finished : which rows have come to their end, ``[rows]``.
    """

    rows: Rows
    tokens: Tensor
    counts: Tensor
    log_likelihoods: Tensor
    finished: Tensor


@torch.no_grad()
def start(model: Any, prompts: Sequence[Sequence[int]]) -> Rows:
    """Read prompts (none empty), one row each."""
    from transformers import DynamicCache

    ids, mask = padded(prompts, pad=0, left=True)
    rows = Rows(DynamicCache(config=model.config), ids[:, -1], mask)
    if ids.shape[1] > 1:
        _forward(model, rows.cache, ids[:, :-1], mask[:, :-1], logits_to_keep=1)
    return rows


@torch.no_grad()
def draw(model: Any, rows: Rows, uniform: Tensor, warp: Warp, ends: Sequence[int]) -> Drawn:
    """Go on with every row until its end, or for as many tokens as there are numbers.

    Parameters
    ----------
    model : a causal language model, in evaluation mode.
    rows : where to go on from; what they hold is used up.
    uniform : one number in [0, 1) for each token, ``[rows, steps]``: a token is the first at which the
        cumulative probability exceeds it, so that equal numbers draw equal texts.
    warp : what makes the distribution of the model's logits.
    ends : tokens that end a text.
    """
    last, mask = rows.last, rows.mask
    count = len(last)
    stops = torch.tensor(list(ends), dtype=torch.long)
    tokens = torch.empty(count, 0, dtype=torch.long)
    counts, finished = torch.zeros(count, dtype=torch.long), torch.zeros(count, dtype=torch.bool)
    total = torch.zeros(count)
    for numbers in uniform.unbind(1):
        logits = _forward(model, rows.cache, last[:, None], mask)[:, -1].float()
        chances = warp(tokens, logits).softmax(1).cumsum(1)
        picked = torch.searchsorted(chances, numbers[:, None] * chances[:, -1:], right=True)
        last = picked.clamp(max=logits.shape[1] - 1)[:, 0]
        total += torch.where(finished, 0.0, log_softmax(logits, 1)[torch.arange(count), last])
        counts += ~finished
        finished = finished | torch.isin(last, stops)
        tokens = torch.cat([tokens, last[:, None]], 1)
        mask = torch.cat([mask, torch.ones(count, 1, dtype=mask.dtype)], 1)
        if bool(finished.all()):
            break
    return Drawn(Rows(rows.cache, last, mask), tokens, counts, total, finished)


@torch.no_grad()
def log_likelihoods(model: Any, prefix: Sequence[int], texts: Sequence[Sequence[int]]) -> Tensor:
    """Of each text behind the prefix, in nats, ``[texts]``: their sums over tokens."""
    rows = start(model, [prefix]).select(torch.zeros(len(texts), dtype=torch.long))
    ids, mask = padded(texts, pad=0)
    read = torch.cat([rows.last[:, None], ids[:, :-1]], 1)
    seen = torch.cat([rows.mask, mask[:, :-1]], 1)
    logits = _forward(model, rows.cache, read, seen)
    chosen = log_softmax(logits.float(), 2).gather(2, ids[..., None])[..., 0]
    return (chosen * mask).sum(1)


def cut(prompt: Sequence[int], length: int, model: Any) -> list[int]:
    """The end of a prompt that leaves room for ``length`` more tokens.

    Raises
    ------
    InputError : if the model's context has no room for a token of the prompt beside ``length``.
    """
    limit = context_length(model)
    if limit is not None and length >= limit:
        raise InputError("length", f"{length} tokens leave no room for a prompt in a context of {limit}")
    return list(prompt) if limit is None else list(prompt[-(limit - length) :])


def ends_of(model: Any, tokenizer: Any) -> list[int]:
    """The tokens that end a text of this model."""
    config = getattr(model, "generation_config", None)
    known = getattr(config, "eos_token_id", None)
    known = tokenizer.eos_token_id if known is None else known
    return [] if known is None else [known] if isinstance(known, int) else list(known)


def check_generates(model: Any, tokenizer: Any) -> None:
    """Raise `InputError` if this is no causal language model with its tokenizer."""
    if not hasattr(model, "config"):
        raise InputError("model", f"is a {type(model).__name__}; give a causal language model")
    check_causal(model)
    if not hasattr(tokenizer, "batch_decode"):
        raise InputError("tokenizer", f"is a {type(tokenizer).__name__}; give the model's tokenizer")


def _forward(model: Any, cache: Any, ids: Tensor, mask: Tensor, **options: Any) -> Tensor:
    positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
    renamed = "cache" in inspect.signature(model.forward).parameters  # by transformers, in 2026
    logits: Tensor = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions,
        use_cache=True,
        **{"cache" if renamed else "past_key_values": cache},
        **options,
    ).logits
    return logits
