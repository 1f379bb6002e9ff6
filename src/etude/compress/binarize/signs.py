"""Rounding to one bit, forwards; what gradients pass through it, backwards.

A value right on the threshold goes up: a sign is never 0, which would be a third level.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

FLOOR = 1e-5
"""The least scale of an activation, whatever it has learned."""


def signs(x: Tensor) -> Tensor:
    """-1 where ``x`` is below 0, else 1; as ``x`` in shape and type."""
    return x.sign().add_(0.5).sign_()  # faster than a choice between two constants


class _Straight(torch.autograd.Function):
    """``mean|w| sign(w - centre)``; the gradient passes as it is."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, centre: Tensor, scale: Tensor) -> Tensor:
        return scale * signs(weight - centre)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return grads[0], None, None


def binary_weight(weight: Tensor) -> Tensor:
    """``mean|W| sign(W - mean(W))`` over all of a matrix; gradients pass straight through.

    Examples
    --------
    >>> binary_weight(torch.tensor([[1.0, 2.0], [3.0, 6.0]]))
    tensor([[-3., -3.],
            [ 3.,  3.]])
    """
    held = weight.detach()
    straight: Tensor = _Straight.apply(weight, held.mean(), held.abs().mean())  # type: ignore[no-untyped-call]
    return straight


def binary_rows(rows: Tensor, centre: Tensor) -> Tensor:
    """The same with a scale for each row ``[..., width]`` around a common centre, for embeddings."""
    held = rows.detach()
    straight: Tensor = _Straight.apply(rows, centre, held.abs().mean(-1, keepdim=True))  # type: ignore[no-untyped-call]
    return straight


class _Signed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor) -> Tensor:
        scale = scale.clamp(min=FLOOR)
        rounded = signs(x)
        ctx.save_for_backward(x, rounded, scale)
        return scale * rounded

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        (grad,), (x, rounded, scale) = grads, ctx.saved_tensors
        return grad.masked_fill(x.abs() > scale, 0), (grad * rounded).sum() / math.sqrt(x.numel())


def signed(x: Tensor, scale: Tensor) -> Tensor:
    """``scale sign(x)``, with gradients for both.

    That of ``x`` passes where ``|x| <= scale``; that of the scale is ``sum g sign(x) / sqrt(numel)``, the
    step size's of LSQ at one bit.

    Parameters
    ----------
    x : of any shape.
    scale : a scalar, taken as `FLOOR` if it is below that.

    Examples
    --------
    >>> signed(torch.tensor([-0.1, 0.0, 3.0]), torch.tensor(0.5))
    tensor([-0.5000,  0.5000,  0.5000])

    References
    ----------
    Liu et al., "BiT: Robustly Binarized Multi-distilled Transformer", NeurIPS 2022. arXiv:2205.13016.
    """
    rounded: Tensor = _Signed.apply(x, scale)  # type: ignore[no-untyped-call]
    return rounded


class _Unsigned(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, p: Tensor, scale: Tensor) -> Tensor:
        scale = scale.clamp(min=FLOOR)
        ctx.save_for_backward(p, scale)
        return scale * (p / scale).round().clamp(0, 1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        (grad,), (p, scale) = grads, ctx.saved_tensors
        steps = p / scale
        inside = (steps >= 0) & (steps <= 1)
        slope = torch.where(inside, steps.round() - steps, (steps > 1).to(steps.dtype))
        return grad * inside, (grad * slope).sum() / math.sqrt(p.numel())


def unsigned(p: Tensor, scale: Tensor) -> Tensor:
    """``scale clamp(round(p / scale), 0, 1)`` for what is never negative, with LSQ's gradients.

    Examples
    --------
    >>> unsigned(torch.tensor([0.1, 0.3, 0.9]), torch.tensor(0.5))
    tensor([0.0000, 0.5000, 0.5000])

    References
    ----------
    Liu et al., as for `signed`. Esser et al., "Learned Step Size Quantization", ICLR 2020.
    arXiv:1902.08153.
    """
    rounded: Tensor = _Unsigned.apply(p, scale)  # type: ignore[no-untyped-call]
    return rounded


class _Attended(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor) -> Tensor:
        ctx.save_for_backward(scores)
        weights: Tensor = (scores >= 0).to(scores.dtype)
        return weights

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (grad,), (scores,) = grads, ctx.saved_tensors
        inside: Tensor = grad * (scores.abs() <= 1)
        return inside


def attended(scores: Tensor) -> Tensor:
    """1 where a score is 0 or more, else 0; gradients pass where ``|score| <= 1``.

    References
    ----------
    Qin et al., "BiBERT: Accurate Fully Binarized BERT", ICLR 2022, Bi-Attention. arXiv:2203.06390.
    """
    rounded: Tensor = _Attended.apply(scores)  # type: ignore[no-untyped-call]
    return rounded
