"""Layers that compute with one bit a weight and one bit an activation, and learn behind them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from etude.compress.binarize.signs import FLOOR, binary_rows, binary_weight, signed, signs, unsigned

UNSET = 0.0
"""A scale that no activation has been seen with yet."""


class Signed(nn.Module):
    """``scale sign(x + shift)``.

    Parameters
    ----------
    features : of a shift to learn, one a channel, from 0; None for no shift.
    elastic : learn the scale, from ``2 mean|x|`` at the first input; else it is 1, for good.
    """

    def __init__(self, features: int | None, elastic: bool) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(features)) if features and elastic else None
        self.scale = nn.Parameter(torch.tensor(UNSET if elastic else 1.0), requires_grad=elastic)

    def forward(self, x: Tensor) -> Tensor:
        """The binary tensor, shaped like ``x``, ``[..., features]``."""
        return signed(self.shifted(x), self.scale)

    def shifted(self, x: Tensor) -> Tensor:
        """What the signs are of; the first that is seen sets the scale."""
        x = x if self.shift is None else x + self.shift
        _set_once(self.scale, 2 * x.detach().abs().mean())
        return x


class Unsigned(nn.Module):
    """``scale {0, 1}``, with a scale that is learned from ``4 mean|p|`` at the first input."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(UNSET))

    def forward(self, p: Tensor) -> Tensor:
        """The binary tensor, shaped like ``p``."""
        _set_once(self.scale, 4 * p.detach().abs().mean())
        return unsigned(p, self.scale)


class Adapter(nn.Module):
    """A map of low rank in full precision, ``x`` to ``up (down x)``, beside a binary layer.

    Parameters
    ----------
    inputs, outputs : widths of the layer.
    rank : of the map.
    """

    def __init__(self, inputs: int, outputs: int, rank: int) -> None:
        super().__init__()
        self.down = nn.Linear(inputs, rank, bias=False)
        self.up = nn.Linear(rank, outputs, bias=False)
        for linear in (self.down, self.up):
            nn.init.normal_(linear.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """``[..., inputs]`` to ``[..., outputs]``."""
        result: Tensor = self.up(self.down(x))
        return result


class BinaryLinear(nn.Linear):
    """A linear layer of one bit a weight, on inputs of one bit each; the bias stays as it is.

    An ``adapter``, where one is put in, adds what it makes of the inputs as they are.

    Without gradients it multiplies signs, which gives whole numbers, and scales them afterwards: exactly
    what packed bits give. A number on the threshold of the next layer then falls to the same side.

    Parameters
    ----------
    linear : the layer whose weight and bias it takes over (the same tensors, no copies).
    elastic : whether its inputs have a shift and a scale to learn.
    """

    def __init__(self, linear: nn.Linear, elastic: bool) -> None:
        super().__init__(linear.in_features, linear.out_features, linear.bias is not None, device="meta")
        self.weight, self.bias = linear.weight, linear.bias
        self.inputs = Signed(linear.in_features, elastic)
        self.adapter: Adapter | None = None

    def forward(self, input: Tensor) -> Tensor:
        """``binary(x) @ binary(W)^T + b``."""
        result = self._binary(input)
        return result if self.adapter is None else result + self.adapter(input)

    def _binary(self, input: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            return functional.linear(self.inputs(input), binary_weight(self.weight), self.bias)
        counts = signs(self.inputs.shifted(input)) @ signs(self.weight - self.weight.mean()).T
        return scaled(counts, self.weight.abs().mean(), self.inputs.scale, self.bias)


def scaled(counts: Tensor, weight: Tensor, inputs: Tensor, bias: Tensor | None) -> Tensor:
    """Sums of products of signs, times the scales of weight and inputs, and a bias."""
    result = counts * (weight * inputs.clamp(min=FLOOR))
    return result if bias is None else result + bias


class BinaryEmbedding(nn.Embedding):
    """An embedding of one bit a weight and a scale a row, over the same tensor."""

    def __init__(self, embedding: nn.Embedding) -> None:
        count, width = embedding.num_embeddings, embedding.embedding_dim
        super().__init__(count, width, embedding.padding_idx, device="meta")
        self.weight = embedding.weight

    def forward(self, input: Tensor) -> Tensor:
        """The binary rows of token ids, ``[..., width]``; only those that are asked for are rounded."""
        rows = functional.embedding(input, self.weight, self.padding_idx)
        return binary_rows(rows, self.weight.detach().mean())


class BinaryPooler(nn.Module):
    """``tanh(LayerNorm(dense(h)) + h)`` of the first token, the dense layer binary.

    Parameters
    ----------
    pooler : BERT's own, whose dense layer and activation it takes over.
    elastic : as for `BinaryLinear`.
    """

    def __init__(self, pooler: Any, elastic: bool) -> None:
        super().__init__()
        self.dense = BinaryLinear(pooler.dense, elastic)
        self.LayerNorm = nn.LayerNorm(pooler.dense.out_features, eps=1e-12)
        self.activation = pooler.activation

    def forward(self, hidden_states: Tensor) -> Tensor:
        """``[batch, length, width]`` to ``[batch, width]``."""
        first = hidden_states[:, 0]
        pooled: Tensor = self.activation(self.LayerNorm(self.dense(first)) + first)
        return pooled


@torch.no_grad()
def _set_once(scale: nn.Parameter, value: Tensor) -> None:
    if scale.item() == UNSET:
        scale.copy_(value)
