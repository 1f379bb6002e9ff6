"""How a scale is stored: every scale is rounded to its storage *before* codes are chosen against it."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Scales = Literal["float32", "float16", "bfloat16", "power-of-two", "float8"]
SCALE_BITS: dict[Scales, int] = {
    "float32": 32,
    "float16": 16,
    "bfloat16": 16,
    "power-of-two": 8,
    "float8": 8,
}
Rounding = Literal["ceil", "floor", "nearest"]
_DTYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float8": torch.float8_e4m3fn,
}
_SMALLEST, _LARGEST = 2.0**-24, 65504.0
"""The ends of float16; kept for all but float8, so that a scale can be written in any format."""
SMALLEST_FLOAT8, LARGEST_FLOAT8 = 2.0**-9, 448.0


def stored(scale: Tensor, how: Scales) -> Tensor:
    """A scale as it is after being stored, in float32; an unused (zero) scale becomes 1.

    Parameters
    ----------
    scale : any shape; may be negative.
    how : the storage. ``"power-of-two"`` rounds the magnitude up, so that nothing is clipped; ``"float8"``
        (E4M3) reaches from 2^-9 to 448 only, so that a grid has to be fitted to it (`Floats.over`).

    Examples
    --------
    >>> stored(torch.tensor([0.3, 0.0, 1e-9]), "power-of-two")
    tensor([5.0000e-01, 1.0000e+00, 5.9605e-08])
    """
    ends = (SMALLEST_FLOAT8, LARGEST_FLOAT8) if how == "float8" else (_SMALLEST, _LARGEST)
    magnitude = scale.abs().clamp(*ends)
    rounded = power_of_two(magnitude) if how == "power-of-two" else magnitude.to(_DTYPES[how]).float()
    return torch.where(scale == 0, 1.0, rounded.copysign(scale))


def power_of_two(scale: Tensor, rounding: Rounding = "ceil") -> Tensor:
    """Each positive scale as a power of two (ZeroQuant-FP's M1 with ``"ceil"``: nothing is clipped).

    Examples
    --------
    >>> power_of_two(torch.tensor([0.3, 0.5, 3.0]))
    tensor([0.5000, 0.5000, 4.0000])
    """
    return torch.ones_like(scale).ldexp(_exponent(scale, rounding))


def power_of_two_ratios(
    scale: Tensor, dim: int | tuple[int, ...] = -1, rounding: Rounding = "ceil"
) -> Tensor:
    """Positive scales that differ by powers of two from the largest along ``dim`` (ZeroQuant-FP's M2).

    ``S_max / 2^round(log2(S_max / S_i))``: one real scale is kept for all. As the paper prints it,
    with ``"ceil"``, scales shrink and the largest weights of a group may be clipped; ``"floor"`` clips none.

    Examples
    --------
    >>> power_of_two_ratios(torch.tensor([3.0, 1.0]))
    tensor([3.0000, 0.7500])
    """
    largest = scale.amax(dim, keepdim=True)
    return largest * torch.ones_like(scale).ldexp(-_exponent(largest / scale, rounding))


def _exponent(x: Tensor, rounding: Rounding) -> Tensor:
    """``log2 x`` as an integer; exact for powers of two, where a rounded logarithm might not be."""
    mantissa: Tensor
    exponent: Tensor
    mantissa, exponent = torch.frexp(x)  # x = mantissa * 2^exponent, mantissa in [1/2, 1)
    if rounding == "ceil":
        return exponent - (mantissa == 0.5).int()
    if rounding == "floor":
        return exponent - 1
    return exponent - torch.lt(mantissa, 0.5**0.5).int()
