"""PAWN's networks: features of next-token metrics, weighed over the text by gates on the hidden states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from etude.explain.detection.reading import METRICS, Reading

SPAN = 512
"""Positions are told as shares of this many tokens."""

Variant = Literal["pawn", "sigmoid", "mean", "hidden"]


class Batch(NamedTuple):
    """Readings side by side, padded on the right.

    Parameters
    ----------
    metrics : ``[texts, positions, 5]``.
    context : hidden state of a position's token, of the next one, and the position's share of `SPAN`:
        ``[texts, positions, 2 width + 1]``.
    valid : which positions are no padding, bool ``[texts, positions]``.
    """

    metrics: Tensor
    context: Tensor
    valid: Tensor


def batch(readings: Sequence[Reading]) -> Batch:
    """Put readings side by side."""
    pad = nn.utils.rnn.pad_sequence
    metrics = pad([reading.metrics for reading in readings], batch_first=True)
    hidden = pad([reading.hidden.float() for reading in readings], batch_first=True)
    lengths = torch.tensor([len(reading.metrics) for reading in readings])
    places = torch.arange(metrics.shape[1])
    shares = (places / SPAN).expand(len(readings), -1)[..., None]
    context = torch.cat([hidden[:, :-1], hidden[:, 1:], shares], 2)
    return Batch(metrics, context, places < lengths[:, None])


class MLP(nn.Module):
    """A linear layer, residual layers with a norm behind each, and a linear layer out.

    ``x <- LayerNorm(x + Linear(Dropout(GELU(x))))``, ``layers - 1`` times; the norm has no bias.
    """

    def __init__(self, inputs: int, width: int, outputs: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, width)
        self.middle = nn.ModuleList(nn.Linear(width, width) for _ in range(layers - 1))
        self.norms = nn.ModuleList(nn.LayerNorm(width, bias=False) for _ in range(layers - 1))
        self.last = nn.Linear(width, outputs)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """``[..., inputs]`` to ``[..., outputs]``."""
        x = self.first(x)
        for linear, norm in zip(self.middle, self.norms, strict=True):
            x = norm(x + linear(self.dropout(gelu(x))))
        out: Tensor = self.last(self.dropout(gelu(x)))
        return out


class Head(nn.Module):
    """Perplexity attention: ``z = sum_i softmax_i(gate(context))_i * features(metrics)_i``, and a classifier.

    Parameters
    ----------
    width : of the language model's hidden states.
    hidden, features, gates, layers, dropout : of the networks; ``gates`` divides ``features``, and each gate
        weighs as many features as its share.
    token_dropout : share of positions that gates lose in training, never all of a text.
    variant : "pawn"; "sigmoid", gates between 0 and 1 whose sum is not fixed; "mean", all positions alike;
        "hidden", no metrics: features of the context from networks twice as deep, all positions alike.
    """

    def __init__(
        self,
        width: int,
        *,
        hidden: int = 256,
        features: int = 256,
        gates: int = 256,
        layers: int = 3,
        dropout: float = 0.0,
        token_dropout: float = 0.15,
        variant: Variant = "pawn",
    ) -> None:
        super().__init__()
        context = 2 * width + 1
        self.variant, self.gates, self.token_dropout = variant, gates, token_dropout
        self.repeats = features // gates
        if variant == "hidden":
            self.features = MLP(context, hidden, features, 2 * layers, dropout)
        else:
            self.features = MLP(len(METRICS), hidden, features, layers, dropout)
        if variant in ("pawn", "sigmoid"):
            self.gate = MLP(context, hidden, gates, layers, dropout)
        self.classify = MLP(features, hidden, 1, layers, dropout)

    def forward(self, texts: Batch) -> Tensor:
        """Logits of machine, ``[texts]``."""
        features = self.features(texts.context if self.variant == "hidden" else texts.metrics)
        weights = self.weights(texts).repeat_interleave(self.repeats, 2)
        logits: Tensor = self.classify((weights * features).sum(1))[:, 0]
        return logits

    def weights(self, texts: Batch) -> Tensor:
        """What each position counts for each gate, ``[texts, positions, gates]``; padding counts 0."""
        valid = self._kept(texts.valid)[..., None]
        if self.variant in ("mean", "hidden"):
            alike: Tensor = valid / valid.sum(1, keepdim=True)
            return alike.expand(-1, -1, self.gates)
        logits = self.gate(texts.context)
        if self.variant == "sigmoid":
            open_share: Tensor = logits.sigmoid() * valid
            return open_share
        shares: Tensor = logits.masked_fill(~valid, -torch.inf).softmax(1)
        return shares

    def _kept(self, valid: Tensor) -> Tensor:
        """In training, positions are dropped at random; a text that would lose all keeps all."""
        if not self.training or self.variant in ("mean", "hidden"):
            return valid
        kept = valid & (torch.rand(valid.shape) >= self.token_dropout)
        return torch.where(kept.any(1, keepdim=True), kept, valid)


def parameter_count(head: Any) -> int:
    """Trainable numbers of a head."""
    return sum(parameter.numel() for parameter in head.parameters())
