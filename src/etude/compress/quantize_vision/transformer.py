"""A vision transformer with all its layers rounded: blocks to few bits, its first and last layer to 8."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from etude.compress.quantize_vision.attention import (
    ProductAttention,
    QueryKeyAttention,
    Share,
    Sizes,
    attentions,
    rounded_linear,
)
from etude.compress.quantize_vision.layers import Activations, QuantConv, computing, matrix, replace
from etude.compress.quantize_vision.weights import Grid, Latent, LearnedSteps, StatsQ
from etude.errors import InputError

ENDS = 8
"""Bits of the first and the last layer."""


@dataclass(frozen=True, kw_only=True)
class Design:
    """What is put in the place of each layer; enough to build the same again around stored weights.

    Parameters
    ----------
    bits, activation_bits : of weights and activations in the blocks.
    weights : "statsq" or "lsq".
    share : which activations share a step.
    reparameterise : round products of query and key weights, instead of both.
    query_bias : with that, keep what the query's bias adds.
    """

    bits: int
    activation_bits: int
    weights: Literal["statsq", "lsq"]
    share: Share = "tensor"
    reparameterise: bool = False
    query_bias: bool = False

    def grid(self, weight: Tensor) -> Grid:
        """The grid of a weight of the blocks."""
        return StatsQ(self.bits) if self.weights == "statsq" else LearnedSteps(self.bits, weight.flatten(1))

    def apply(self, model: Any) -> None:
        """Replace the layers of ``model``; steps of activations are still to be found (`starting`)."""
        check(model)
        tokens = _tokens(model)
        every = computing(model)
        blocks = attentions(model)
        for name, layer in every.items():
            if isinstance(layer, nn.Conv2d) or is_head(name):
                replace(model, name, _end(layer))
            elif not any(name.startswith(f"{block}.") for block in blocks):
                replace(model, name, self._inner(layer, tokens, signed=not name.endswith("fc2")))
        for name, attention in blocks.items():
            replace(model, name, self._attention(attention, tokens))

    def _inner(self, layer: Any, tokens: int, signed: bool) -> nn.Module:
        shape = (1,) if self.share == "tensor" else (tokens, 1)
        inputs = Activations(self.activation_bits, shape, signed=signed, shifts=layer.in_features)
        return rounded_linear(layer, inputs, self.grid)

    def _attention(self, attention: Any, tokens: int) -> nn.Module:
        width, heads = attention.v_proj.in_features, attention.num_attention_heads
        sizes = Sizes(self.activation_bits, self.share, tokens, width, heads)
        if self.reparameterise:
            return ProductAttention(attention, sizes, self.grid, self.query_bias)
        return QueryKeyAttention(attention, sizes, self.grid)


def check(model: Any) -> None:
    """Raise `InputError` if ``model`` is no vision transformer, with blocks whose layers can be found."""
    parts = computing(model) if isinstance(model, nn.Module) else {}
    blocks = attentions(model) if parts else {}
    if not blocks:
        raise InputError(
            "model", "is no vision transformer: no attention with q_proj, k_proj, v_proj and o_proj"
        )
    if [name for name, part in parts.items() if isinstance(part, nn.Conv2d)] != [next(iter(parts))]:
        raise InputError("model", "must have one convolution, which cuts patches, in front of all else")
    if not any(map(is_head, parts)):
        raise InputError("model", "has no linear classifier")


def is_head(name: str) -> bool:
    """Whether a layer classifies: it lies outside of everything that comes before."""
    return "." not in name


def inner_weights(model: nn.Module) -> list[Latent]:
    """The trained weights between the first layer and the classifier."""
    return [
        child
        for name, module in model.named_modules()
        if not isinstance(module, QuantConv) and not is_head(name)
        for child in module.children()
        if isinstance(child, Latent)
    ]


def _end(layer: nn.Linear | nn.Conv2d) -> nn.Module:
    """The first or the last layer: LSQ with a step for each output, and for each colour of an image."""

    def grid(weight: Tensor) -> Grid:
        return LearnedSteps(ENDS, weight)

    if isinstance(layer, nn.Conv2d):
        weight = matrix(layer)
        return QuantConv(Latent(weight, grid(weight)), Activations(ENDS, (layer.in_channels, 1, 1)), layer)
    return rounded_linear(layer, Activations(ENDS, shifts=layer.in_features), grid)


def _tokens(model: Any) -> int:
    """Tokens of an image, as the first attention sees them."""
    seen: list[int] = []
    value = next(iter(attentions(model).values())).get_submodule("v_proj")
    hook = value.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0].shape[1]))
    side, channels = model.config.image_size, model.config.num_channels
    try:
        with torch.no_grad():
            model(torch.zeros(1, channels, side, side))
    finally:
        hook.remove()
    return seen[0]
