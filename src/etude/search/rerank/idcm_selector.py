"""The fast models that choose windows: kernels over matches of a query's and a window's tokens."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, pad, relu

Kind = Literal["ck", "ck-small", "tk"]
MU = (1.0, 0.9, 0.7, 0.5, 0.3, 0.1, -0.1, -0.3, -0.5, -0.7, -0.9)
SIGMA = 0.1
"""Centres and width of the Gaussian kernels."""


class Selector(nn.Module):
    """Efficient student model (ESM): contextual tokens, cosine matches, kernels, a weighted sum.

    Token vectors are those of the cross-encoder's embedding layer, made by the caller and not trained here.

    Parameters
    ----------
    width : of the token vectors.
    kind : what gives a token its context: "ck", a convolution over three tokens; "ck-small", a projection to
        384 features and a convolution to 128; "tk", a projection to 384 and one transformer layer.
    """

    def __init__(self, width: int, kind: Kind = "ck") -> None:
        super().__init__()
        self.kind = kind
        self.project: nn.Module = nn.Identity() if kind == "ck" else nn.Linear(width, 384)
        self.context: nn.Module
        if kind == "tk":
            self.context = nn.TransformerEncoderLayer(
                384, 8, dim_feedforward=384, dropout=0.0, batch_first=True
            )
        else:
            self.context = nn.Conv1d(*((width, width) if kind == "ck" else (384, 128)), kernel_size=3)
        self.alpha = nn.Parameter(torch.ones(len(MU)))
        self.combine = nn.Linear(len(MU), 1)
        nn.init.uniform_(self.combine.weight, -0.01, 0.01)

    def forward(self, query: Tensor, asked: Tensor, window: Tensor, real: Tensor, owner: Tensor) -> Tensor:
        """Scores of windows, ``[windows]``.

        Parameters
        ----------
        query : token vectors of queries, ``[queries, tokens, width]``.
        asked : which of these are no padding, bool.
        window : token vectors of windows, ``[windows, tokens, width]``.
        real : which of these are no padding, bool.
        owner : the query of each window, ``[windows]``.
        """
        asking, told = self.contextual(query, asked), self.contextual(window, real)
        cosine = torch.bmm(asking[owner], told.transpose(1, 2))
        found: Tensor = self.combine(kernels(cosine, real, asked[owner], self.alpha))[:, 0]
        return found

    def contextual(self, vectors: Tensor, real: Tensor) -> Tensor:
        """Unit vectors of tokens in their context; padding is none of it."""
        vectors = self.project(vectors) * real[:, :, None]
        if self.kind == "tk":
            mixed = self.context(vectors, src_key_padding_mask=~(real | ~real.any(1, keepdim=True)))
        else:
            mixed = relu(self.context(pad(vectors.transpose(1, 2), (0, 2)))).transpose(1, 2)
        return normalize(mixed, dim=-1)


def kernels(cosine: Tensor, real: Tensor, asked: Tensor, alpha: Tensor) -> Tensor:
    """How often each query token is matched how well, as one number a kernel, ``[windows, kernels]``.

    A kernel sums ``exp(-(cosine - mu)^2 / (2 sigma^2))`` over a window's tokens; its logarithm, of 1e-4 at
    least, is summed over the query's.

    Parameters
    ----------
    cosine : of query and window tokens, ``[windows, query tokens, window tokens]``.
    real, asked : which window and which query tokens are no padding, bool.
    alpha : factor of each kernel before the logarithm.
    """
    features = []
    for mu, scale in zip(MU, alpha, strict=True):
        near = torch.exp((cosine - mu).square() * (-0.5 / SIGMA**2))
        matches = torch.bmm(near, real.to(near.dtype)[:, :, None])[:, :, 0] * scale
        features.append((matches.clamp(min=1e-4).log() * asked).sum(1))
    return torch.stack(features, dim=1)


def embedder(model: Any) -> nn.Module:
    """A cross-encoder's embedding layer: whole where it is a module of its own, else of words alone."""
    found: nn.Module = getattr(model.base_model, "embeddings", None) or model.get_input_embeddings()
    return found
