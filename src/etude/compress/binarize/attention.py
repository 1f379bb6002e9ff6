"""Self-attention on tensors of one bit, and low-rank estimates of what their rounding loses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from etude.compress.binarize.layers import BinaryLinear, Signed, Unsigned
from etude.compress.binarize.signs import attended


@dataclass(frozen=True)
class Structure:
    """What a binary encoder computes.

    Parameters
    ----------
    elastic : whether binary activations have a shift and a scale to learn; else they are -1 and 1.
    attention : "elastic", softmax rounded to {0, scale}; or "bool", scores rounded to {0, 1}.
    rank : of the estimators of residuals; 0 for none.
    adapters : rank of the maps beside the linear layers of attention; 0 for none.
    """

    elastic: bool = True
    attention: Literal["elastic", "bool"] = "elastic"
    rank: int = 0
    adapters: int = 0


class Estimators(nn.Module):
    """Estimates the residuals of binary attention from the block's input, in full precision.

    With ``Q = Q_b + E_q`` and ``K = K_b + E_k``,
    ``Q K^T = Q_b K_b^T + [Q_b E_k^T + E_q K_b^T + E_q E_k^T]``. The bracket is estimated by maps of rank
    ``rank`` that all heads share, ``m`` standing for the binary part and ``p`` for the residual. Of the
    values, one number a token is estimated.

    Parameters
    ----------
    width : of the block's input.
    rank : of the maps.

    References
    ----------
    Xing et al., "BiPFT: Binary Pre-trained Foundation Transformer with Low-rank Estimation of
    Binarization Residual Polynomials", AAAI 2024. arXiv:2312.08937.
    """

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        self.q_m, self.q_p, self.k_m, self.k_p = (nn.Linear(width, rank) for _ in range(4))
        self.v_p = nn.Linear(width, 1)
        for linear in self.children():
            nn.init.normal_(linear.weight, std=0.02)  # type: ignore[arg-type]
            nn.init.zeros_(linear.bias)  # type: ignore[arg-type]

    def scores(self, hidden: Tensor) -> Tensor:
        """What binary scores lack, before they are scaled: ``[batch, 1, length, length]``."""
        k_p = self.k_p(hidden).mT
        binary, residual = self.q_m(hidden), self.q_p(hidden)
        lacking: Tensor = binary @ k_p + residual @ self.k_m(hidden).mT + residual @ k_p
        return lacking[:, None]

    def values(self, hidden: Tensor) -> Tensor:
        """What every feature of a binary value lacks: ``[batch, 1, length, 1]``."""
        lacking: Tensor = self.v_p(hidden)
        return lacking[:, None]


class BinaryAttention(nn.Module):
    """Takes the place of BERT's self-attention, with its projections and their names.

    Parameters
    ----------
    attention : the module that has ``query``, ``key``, ``value`` and ``num_attention_heads``.
    structure : what to compute.
    """

    def __init__(self, attention: Any, structure: Structure) -> None:
        super().__init__()
        elastic = structure.elastic
        self.structure = structure
        self.heads = attention.num_attention_heads
        self.query = BinaryLinear(attention.query, elastic)
        self.key = BinaryLinear(attention.key, elastic)
        self.value = BinaryLinear(attention.value, elastic)
        self.dropout = attention.dropout
        self.queries, self.keys, self.values = (Signed(None, elastic) for _ in range(3))
        self.weights = Unsigned() if structure.attention == "elastic" else None
        width = attention.query.in_features
        self.estimators = Estimators(width, structure.rank) if structure.rank else None

    def forward(
        self, hidden_states: Tensor, attention_mask: Tensor | None = None, **_: Any
    ) -> tuple[Tensor, Tensor]:
        """The context ``[batch, length, width]`` and the weights ``[batch, heads, length, length]``."""
        queries = self.queries(self._split(self.query(hidden_states)))
        keys = self.keys(self._split(self.key(hidden_states)))
        values = self.values(self._split(self.value(hidden_states)))

        scores = queries @ keys.mT
        if self.estimators is not None:
            scores = scores + self.estimators.scores(hidden_states)
        scores = scores / math.sqrt(queries.shape[-1])
        if attention_mask is not None:
            scores = scores + attention_mask

        weights = self._weights(scores)
        context = weights @ values
        if self.estimators is not None:
            context = context + weights @ self.estimators.values(hidden_states)
        return context.transpose(1, 2).flatten(2), weights

    def _weights(self, scores: Tensor) -> Tensor:
        if self.weights is None:
            return attended(scores)
        weights: Tensor = self.weights(self.dropout(torch.softmax(scores, -1)))
        return weights

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)
