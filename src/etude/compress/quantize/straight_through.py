"""Quantisers that train: rounding whose gradient is passed straight through, and learned step sizes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

End = int | Tensor
"""A code at the end of the range, or one for each group."""


class _Lsq(torch.autograd.Function):
    """See `lsq`. A function of its own, because autograd through its parts takes three times the memory."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        step: Tensor,
        offset: Tensor | None,
        low: End,
        high: End,
        factor: float,
        lenient: bool,
    ) -> Tensor:
        levels = (x if offset is None else x - offset) / step
        codes = levels.round().clamp_(low, high)  # type: ignore[arg-type]  # its stubs know no mixture
        ctx.save_for_backward(levels, codes, step, offset)
        ctx.ends = low, high, factor, lenient
        value = codes * step
        return value if offset is None else value.add_(offset)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        levels, codes, step, offset = ctx.saved_tensors
        low, high, factor, lenient = ctx.ends
        inside = levels.round() == codes if lenient else (levels >= low) & (levels <= high)
        of_x = gradient * inside
        of_step = (gradient * codes).sub_(of_x * levels).sum_to_size(step.shape) * factor
        of_offset = None
        if offset is not None:
            of_offset = (gradient - of_x).sum_to_size(offset.shape) * factor
        return of_x, of_step, of_offset, None, None, None, None


def lsq(
    x: Tensor,
    step: Tensor,
    low: End,
    high: End,
    *,
    offset: Tensor | None = None,
    factor: float = 1.0,
    lenient: bool = False,
) -> Tensor:
    """Round to learned steps: ``clamp(round((x - offset) / step), low, high) * step + offset``.

    The gradient of rounding is taken to be 1. That of ``x`` is passed on inside the range and is 0
    outside; that of ``step`` is ``code - level`` inside and ``code`` outside; that of ``offset`` is 0
    inside and 1 outside.

    Parameters
    ----------
    x : any shape.
    step : above 0, broadcasting against ``x``; of as many dimensions.
    low, high : the smallest and the largest code; tensors that broadcast against ``x`` where they differ.
    offset : what code 0 stands for, shaped like ``step``; None for 0.
    factor : by which the gradients of ``step`` and ``offset`` are multiplied; in LSQ
        ``1 / sqrt(high * numbers that share a step)``.
    lenient : whether gradients also pass within half a step beyond the ends, as they do where it is the
        rounded number that is clamped.

    Examples
    --------
    >>> x = torch.tensor([-3.0, 0.3, 0.9], requires_grad=True)
    >>> step = torch.tensor([0.5], requires_grad=True)
    >>> y = lsq(x, step, -2, 1)
    >>> y.sum().backward()
    >>> y.tolist(), x.grad.tolist(), round(step.grad.item(), 4)
    ([-1.0, 0.5, 0.5], [0.0, 1.0, 0.0], -0.6)

    References
    ----------
    Esser et al., "Learned Step Size Quantization", ICLR 2020. arXiv:1902.08153.
    Bhalgat et al., "LSQ+: Improving low-bit quantization through learnable offsets and better
    initialization", 2020. arXiv:2004.09576.
    """
    found: Tensor = _Lsq.apply(x, step, offset, low, high, factor, lenient)  # type: ignore[no-untyped-call]
    return found


class _Straight(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, value: Tensor) -> Tensor:
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


def straight_through(x: Tensor, value: Tensor) -> Tensor:
    """``value``, exactly, with the gradient of ``x``: what is done to ``x`` counts as the identity.

    Examples
    --------
    >>> x = torch.tensor([0.2, 1.7], requires_grad=True)
    >>> y = straight_through(x, x.detach().round())
    >>> y.sum().backward()
    >>> y.tolist(), x.grad.tolist()
    ([0.0, 2.0], [1.0, 1.0])
    """
    found: Tensor = _Straight.apply(x, value)  # type: ignore[no-untyped-call]
    return found


def ends(bits: int, *, signed: bool = True) -> tuple[int, int]:
    """The smallest and the largest code of so many bits.

    Examples
    --------
    >>> ends(2), ends(2, signed=False)
    ((-2, 1), (0, 3))
    """
    half: int = 2 ** (bits - 1)
    return (-half, half - 1) if signed else (0, 2 * half - 1)
