"""Evenly spaced levels: the integer grids, with the conventions of the formats that store them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import annotated_types as at
import torch
from torch import Tensor

from etude.compress.quantize.grids.base import Range
from etude.compress.quantize.grids.scales import SCALE_BITS, Scales, stored
from etude.method import check_fields

Convention = Literal["compressed-tensors", "awq", "gguf"]


@dataclass(frozen=True, kw_only=True)
class Integers:
    """``2^bits`` evenly spaced levels.

    Symmetric levels are ``-2^(bits-1) .. 2^(bits-1) - 1``, asymmetric ones ``0 .. 2^bits - 1`` with a
    zero. How the range follows from a group differs between the formats, which changes results at 3
    and 4 bits, so it is explicit:

    ====================  ================================  ==============================================
    convention            symmetric scale                   asymmetric range
    ====================  ================================  ==============================================
    compressed-tensors    ``max|w| / (2^(bits-1) - 1/2)``   extended to hold 0; whole zero
    awq                   ``max|w| / (2^(bits-1) - 1)``     as it is; whole zero, clamped to the codes
    gguf                  the element of largest magnitude  as it is; the minimum is stored, so the zero
                          over ``-2^(bits-1)``              need not be whole
    ====================  ================================  ==============================================

    GPTQ and torchao do as compressed-tensors; GLM-130B's rows as awq's symmetric. Under awq's
    asymmetric convention a group without a sign change loses the end of its range, because its zero is
    clamped: kept, as checkpoints in the wild were made so.

    Parameters
    ----------
    bits : of a code, 2 to 8.
    symmetric : no zero is stored.
    convention : how the range follows from the group.
    scales : how a scale is stored; codes are chosen against the stored scale.

    Raises
    ------
    InputError : if a field is out of range.

    Examples
    --------
    >>> grid = Integers(bits=2)
    >>> group = torch.tensor([-1.0, 0.2, 0.9, 2.0])
    >>> within = grid.fit(group)
    >>> grid.encode(group, within), grid.round(group, within)
    (tensor([0, 1, 2, 3], dtype=torch.uint8), tensor([-1.,  0.,  1.,  2.]))

    References
    ----------
    Frantar et al., arXiv:2210.17323; Lin et al., arXiv:2306.00978; Zeng et al., arXiv:2210.02414, sec. 4.
    """

    bits: Annotated[int, at.Interval(ge=2, le=8)] = 4
    symmetric: bool = False
    convention: Convention = "compressed-tensors"
    scales: Scales = "float16"

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def zero_bits(self) -> int:
        """A whole zero takes a code's bits, a stored minimum a scale's."""
        if self.symmetric:
            return 0
        return self.scale_bits if self.convention == "gguf" else self.bits

    @property
    def scale_bits(self) -> int:
        """Bits of a stored scale."""
        return SCALE_BITS[self.scales]

    def levels(self) -> Tensor:
        """Level of each code, float32 ``[2^bits]``, ascending."""
        return torch.arange(2**self.bits).float() + self._lowest

    def fit(self, groups: Tensor, shrink: float = 1.0) -> Range:
        """The range of each group ``[..., size]``, its ends times ``shrink``: tensors ``[..., 1]``."""
        low = groups.amin(-1, keepdim=True) * shrink
        high = groups.amax(-1, keepdim=True) * shrink
        return self._centred(low, high) if self.symmetric else self._between(low, high)

    def round(self, x: Tensor, within: Range) -> Tensor:
        """The nearest value on the grid; ties to the even step, counted from the value 0."""
        level = self._level(x, within)
        return (level if within.zero is None else level.sub_(within.zero)).mul_(within.scale)

    def encode(self, x: Tensor, within: Range) -> Tensor:
        """The code of the nearest value, uint8: the level counted from the lowest."""
        return (self._level(x, within) - self._lowest).to(torch.uint8)

    @property
    def _lowest(self) -> int:
        return -(2 ** (self.bits - 1)) if self.symmetric else 0

    def _level(self, x: Tensor, within: Range) -> Tensor:
        steps = x / within.scale
        if within.zero is None:
            steps.round_()
        elif self.convention == "gguf":
            steps.add_(within.zero).round_()
        else:
            steps.round_().add_(within.zero)
        return steps.clamp_(self._lowest, self._lowest + 2**self.bits - 1)

    def _centred(self, low: Tensor, high: Tensor) -> Range:
        half = 2 ** (self.bits - 1)
        peak = torch.maximum(-low, high)
        if self.convention == "gguf":
            signed = torch.where(-low >= high, low, high)
            return Range(stored(signed / -half, self.scales))
        steps = half - (0.5 if self.convention == "compressed-tensors" else 1)
        return Range(stored(peak / steps, self.scales))

    def _between(self, low: Tensor, high: Tensor) -> Range:
        if self.convention == "compressed-tensors":
            low, high = low.clamp(max=0), high.clamp(min=0)
        last = 2**self.bits - 1
        scale = stored((high - low) / last, self.scales)
        if self.convention == "gguf":
            return Range(scale, -low.sign() * stored(low.abs(), self.scales) / scale)
        return Range(scale, (-low / scale).round().clamp(0, last))
