"""Attention of a stretched encoder, in the place that transformers keeps for other kinds of attention."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from etude.errors import InputError

NAME = "etude_long"


@dataclass(frozen=True)
class Reach:
    """What a forward pass hands to every attention layer.

    Parameters
    ----------
    temperatures : of each text, ``[texts]``.
    bands : for SelfExtend: its far distances.
    """

    temperatures: Tensor
    bands: Bands | None = None


@dataclass(frozen=True)
class Bands:
    """SelfExtend's far distances, as turns of queries and keys that are turned to their own places already.

    Parameters
    ----------
    shift : by how many positions a token moves, ``[texts, length]``.
    lead : by how many the later of two tokens moves on besides, ``[texts, 1]``.
    neighbours : distances from this on are far.
    frequencies : of the rotary positions, in radians a position, ``[half of the turned width]``.
    """

    shift: Tensor
    lead: Tensor
    neighbours: int
    frequencies: Tensor

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        """Products of queries and keys, each pair at its distance: ``[texts, heads, length, length]``."""
        near = query @ key.mT
        still = turned(query, self.shift, self.frequencies), turned(key, self.shift, self.frequencies)
        ahead = self.shift + self.lead
        before = turned(query, ahead, self.frequencies) @ still[1].mT  # keys in front of the query
        behind = still[0] @ turned(key, ahead, self.frequencies).mT
        places = torch.arange(query.shape[2])
        distance = places[None] - places[:, None]
        far = torch.where(distance < 0, before, behind)
        return torch.where(distance.abs() < self.neighbours, near, far)


def turned(vectors: Tensor, shift: Tensor, frequencies: Tensor) -> Tensor:
    """Vectors that stand at rotary positions, moved by ``shift``: ``[texts, heads, length, width]``.

    Turns add up, so what has been turned to its place is moved to another by the difference. The two numbers
    of a pair are half of the turned width apart, as in transformers.
    """
    angles = shift[:, None, :, None].to(vectors.dtype) * frequencies
    cosine, sine = angles.cos(), angles.sin()
    half = len(frequencies)
    first, second, rest = torch.split(vectors, [half, half, vectors.shape[-1] - 2 * half], dim=-1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine, rest], -1)


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    reach: Reach | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attention as in transformers' own interface; without ``reach`` it is scaled dot-product attention."""
    from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward

    if reach is not None:
        query = query * reach.temperatures[:, None, None, None].to(query.dtype)
    if reach is None or reach.bands is None:
        made: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **others
        )
        return made
    repeats = getattr(module, "num_key_value_groups", 1)
    key, value = repeat_kv(key, repeats), repeat_kv(value, repeats)
    scores = reach.bands.scores(query, key) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    if attention_mask is not None and attention_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
    elif attention_mask is not None:
        scores = scores + attention_mask
    weights = torch.nn.functional.dropout(scores.softmax(-1), dropout, module.training)
    return (weights @ value).transpose(1, 2).contiguous(), None


@cache
def register() -> None:
    """Make the attention known to transformers under `NAME`."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)


def adapted(model: Any) -> Any:
    """The model with this attention, its tensors shared with the one that was given.

    Raises
    ------
    InputError : if the model does not attend through transformers' interface, which others can be put into.
    """
    if not getattr(model, "_supports_attention_backend", False):
        raise InputError(
            "model", f"{type(model).__name__} has an attention of its own that cannot be changed"
        )
    register()
    tensors = [*model.parameters(), *model.buffers()]
    changed = copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})
    changed.set_attn_implementation(NAME)
    return changed


def frequencies(model: Any) -> Tensor | None:
    """Of the model's rotary positions, in radians a position; None if it has none."""
    found = [module.inv_freq for module in model.modules() if hasattr(module, "inv_freq")]
    return found[0] if found else None
