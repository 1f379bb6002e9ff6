"""Self-attention of vision transformers with everything that is multiplied rounded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from etude.compress.quantize_vision.layers import Activations, QuantLinear
from etude.compress.quantize_vision.weights import Grid, Latent, Product

Share = Literal["tensor", "token"]
"""Which activations share a step: all of a tensor, or those of a token's position."""


@dataclass(frozen=True)
class Sizes:
    """What rounding activations needs to know of an attention.

    Parameters
    ----------
    bits : of an activation.
    share : which activations share a step; values have one for each feature in any case.
    tokens : of an image, the class token included.
    width, heads : of the attention.
    """

    bits: int
    share: Share
    tokens: int
    width: int
    heads: int

    def activations(self, *shared: int, signed: bool = True, shifts: int | None = None) -> Activations:
        """LSQ with one step, or where tokens have steps, with one for each place in ``shared``."""
        shape = (1,) if self.share == "tensor" else shared
        return Activations(self.bits, shape, signed=signed, shifts=shifts)


class RoundedAttention(nn.Module):
    """What attentions share: values, softmax and output.

    Parameters
    ----------
    attention : with ``q_proj``, ``k_proj``, ``v_proj`` and ``o_proj``, in full precision.
    sizes : see `Sizes`.
    grid : makes the grid of a weight ``[rows, columns]``.
    """

    def __init__(self, attention: Any, sizes: Sizes, grid: Callable[[Tensor], Grid]) -> None:
        super().__init__()
        tokens, width = sizes.tokens, sizes.width
        self.heads = sizes.heads
        self.scaling = float(attention.scaling)
        self.inputs = sizes.activations(tokens, 1, shifts=width)
        self.values = rounded_linear(attention.v_proj, None, grid)
        self.of_values = Activations(sizes.bits, (width,), shifts=width)
        self.of_probabilities = sizes.activations(tokens, 1, signed=False)
        self.o_proj = rounded_linear(attention.o_proj, sizes.activations(tokens, 1, shifts=width), grid)

    def forward(self, x: Tensor, attention_mask: Tensor | None = None, **_: Any) -> tuple[Tensor, Tensor]:
        """Outputs ``[images, tokens, width]`` and probabilities ``[images, heads, tokens, tokens]``."""
        x = self.inputs(x)
        values = self.split(self.of_values(self.values(x)))
        probabilities = self.of_probabilities((self.scores(x) * self.scaling).softmax(-1))
        mixed = (probabilities @ values).transpose(1, 2).flatten(2)
        return self.o_proj(mixed), probabilities

    def scores(self, x: Tensor) -> Tensor:
        """Products of queries and keys ``[images, heads, tokens, tokens]``, before they are scaled."""
        raise NotImplementedError

    def split(self, x: Tensor) -> Tensor:
        """``[images, tokens, width]`` as ``[images, heads, tokens, width / heads]``."""
        split: Tensor = x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # type: ignore[no-untyped-call]
        return split


class QueryKeyAttention(RoundedAttention):
    """Queries and keys are computed with rounded weights and then rounded themselves."""

    def __init__(self, attention: Any, sizes: Sizes, grid: Callable[[Tensor], Grid]) -> None:
        super().__init__(attention, sizes, grid)
        self.queries = rounded_linear(attention.q_proj, None, grid)
        self.keys = rounded_linear(attention.k_proj, None, grid)
        self.of_queries = self._activations(sizes)
        self.of_keys = self._activations(sizes)

    def _activations(self, sizes: Sizes) -> Activations:
        shape = (1,) if sizes.share == "tensor" else (sizes.tokens, 1, 1)
        return Activations(sizes.bits, shape, shifts=sizes.width // sizes.heads)

    def scores(self, x: Tensor) -> Tensor:
        """See `RoundedAttention.scores`."""
        queries, keys = (
            quantiser(weights(x).unflatten(-1, (self.heads, -1))).transpose(1, 2)
            for quantiser, weights in ((self.of_queries, self.queries), (self.of_keys, self.keys))
        )
        scores: Tensor = queries @ keys.transpose(-1, -2)
        return scores


class ProductAttention(RoundedAttention):
    """Query-key reparameterisation (QKR): ``x . Q(M x)`` with one rounded matrix ``M`` a head.

    A query's bias adds ``x_j . (W_K^T b_Q)`` to the score of key ``j``. The paper drops it, which changes a
    trained model; with ``query_bias`` it is kept. A key's bias adds the same to all scores of a query, which
    softmax does not notice.
    """

    def __init__(
        self, attention: Any, sizes: Sizes, grid: Callable[[Tensor], Grid], query_bias: bool
    ) -> None:
        super().__init__(attention, sizes, grid)
        queries, keys = attention.q_proj.weight, attention.k_proj.weight
        self.product = Product(queries, keys, sizes.heads, grid)
        self.of_products = sizes.activations(sizes.tokens, sizes.heads, 1, shifts=sizes.width)
        self.key_bias: nn.Parameter | None = None
        if query_bias and attention.q_proj.bias is not None:
            bias, by_head = (
                w.detach().unflatten(0, (sizes.heads, -1)) for w in (attention.q_proj.bias, keys)
            )
            self.key_bias = nn.Parameter((bias.unsqueeze(-1) * by_head).sum(1))

    def scores(self, x: Tensor) -> Tensor:
        """See `RoundedAttention.scores`."""
        products = (x @ self.product().T).unflatten(-1, (self.heads, -1))
        products = self.of_products(products).permute(0, 2, 3, 1)
        scores: Tensor = x.unsqueeze(1) @ products
        return scores if self.key_bias is None else scores + (self.key_bias @ x.mT).unsqueeze(2)

    def merge(self) -> None:
        """Let the product be trained itself, and no longer its two factors."""
        with torch.no_grad():
            self.product = Latent(self.product.value(), self.product.grid)  # type: ignore[assignment]


def rounded_linear(
    linear: nn.Linear, inputs: nn.Module | None, grid: Callable[[Tensor], Grid]
) -> QuantLinear:
    """A linear layer whose weight is rounded on a grid made for it."""
    return QuantLinear(Latent(linear.weight, grid(linear.weight)), inputs, linear.bias)


def attentions(model: nn.Module) -> dict[str, nn.Module]:
    """The self-attentions of a vision transformer by name."""
    parts = ("q_proj", "k_proj", "v_proj", "o_proj")
    return {
        name: module
        for name, module in model.named_modules()
        if all(isinstance(getattr(module, part, None), nn.Linear) for part in parts)
    }
