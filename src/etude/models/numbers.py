"""The numbers that a few bits stand for, as far as rounding to them goes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """Whole numbers, or floating-point ones, up to a scale.

    Attributes
    ----------
    lowest, largest : the ends; whole numbers with a zero point begin at 0, all others lie around it.
    mantissa : bits of the mantissa of floating-point numbers; None for whole numbers.
    bias : of their exponent.

    Examples
    --------
    >>> int4 = Numbers.whole(4)
    >>> scale, zero = int4.fit(torch.tensor([-1.0, 0.4, 1.5]))
    >>> scale, int4.round(torch.tensor([0.25, 9.0]), scale, zero)
    (tensor([0.2000]), tensor([0.2000, 1.4000]))
    >>> e2m1 = Numbers(lowest=-6, largest=6, mantissa=1, bias=1)
    >>> e2m1.round(torch.tensor([2.4, 0.2, 9.0]), torch.tensor(1.0), None)
    tensor([2., 0., 6.])
    """

    lowest: float
    largest: float
    mantissa: int | None = None
    bias: float = 0.0

    @classmethod
    def whole(cls, bits: int, *, symmetric: bool = True) -> Numbers:
        """Integers of so many bits, around 0 or from 0 up."""
        lowest = -(2 ** (bits - 1)) if symmetric else 0
        return cls(lowest=lowest, largest=lowest + 2**bits - 1)

    def fit(self, x: Tensor, dim: int = -1) -> tuple[Tensor, Tensor | None]:
        """Scale and zero that cover ``x`` along a dimension, which is kept; see `between`."""
        return self.between(x.amin(dim, keepdim=True), x.amax(dim, keepdim=True))

    def between(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor | None]:
        """The scale and zero under which the numbers reach from ``low`` to ``high``, and over 0.

        Whole numbers around 0 are one fewer above than below: half of it is granted to either side.
        """
        if self.lowest == 0:
            low, high = low.clamp(max=0), high.clamp(min=0)
            scale = _used((high - low) / self.largest)
            return scale, (-low / scale).round()
        reach = self.largest + (0.5 if self.mantissa is None else 0)
        return _used(torch.maximum(-low, high) / reach), None

    def round(self, x: Tensor, scale: Tensor, zero: Tensor | None) -> Tensor:
        """The nearest number, beyond the ends the end; ties to the even step."""
        if self.mantissa is None:
            level = (x / scale).round_()
            if zero is not None:
                return level.add_(zero).clamp_(self.lowest, self.largest).sub_(zero).mul_(scale)
            return level.clamp_(self.lowest, self.largest).mul_(scale)
        magnitude, step = float_steps(x / scale, mantissa=self.mantissa, bias=self.bias, largest=self.largest)
        rounded: Tensor = (magnitude * step / 2.0**self.bias).copysign_(x) * scale
        return rounded

    def reaches(self, x: Tensor, scale: Tensor, zero: Tensor | None) -> Tensor:
        """Whether each of ``x`` lies between the ends."""
        level = x / scale if zero is None else x / scale + zero
        return (level >= self.lowest) & (level <= self.largest)


def float_steps(x: Tensor, *, mantissa: int, bias: float, largest: float) -> tuple[Tensor, Tensor]:
    """How many steps the nearest floating-point magnitude is, and the step there, both for a bias of 0.

    With ``e = max(1, floor(log2 |x| + bias))`` the step is ``2^(e - mantissa)``, so that small numbers are
    subnormal ones. Exponents are taken from the bits: a rounded logarithm errs near powers of two.

    Examples
    --------
    >>> float_steps(torch.tensor([5.2, 0.6]), mantissa=1, bias=1, largest=6.0)
    (tensor([3., 1.]), tensor([4., 1.]))
    """
    unbiased = x.abs().clamp_(max=largest) * 2.0**bias
    exponent = (torch.frexp(unbiased)[1] - 1).clamp_(min=1)
    step = torch.ones_like(unbiased).ldexp(exponent - mantissa)
    return (unbiased / step).round_(), step


def _used(scale: Tensor) -> Tensor:
    """A scale; 1 where there is nothing to scale."""
    return torch.where(scale > 0, scale, 1.0)
