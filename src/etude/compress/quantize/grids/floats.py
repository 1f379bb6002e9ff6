"""Levels that are dense near zero: small floating-point grids, from FP4 to FP8."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Literal

import annotated_types as at
import torch
from torch import Tensor

from etude.compress.quantize.grids.base import Range
from etude.compress.quantize.grids.scales import LARGEST_FLOAT8, SCALE_BITS, Scales, stored
from etude.errors import InputError
from etude.method import check_fields
from etude.models.numbers import float_steps

Specials = Literal["none", "nan", "ieee"]


@dataclass(frozen=True, kw_only=True)
class Floats:
    """Sign, ``exponent`` and ``mantissa`` bits, with subnormal numbers: an ExMy format.

    A code with exponent field ``e > 0`` and mantissa ``m`` stands for
    ``±(1 + m / 2^mantissa) 2^(e - bias)``, with ``e = 0`` for ``±(m / 2^mantissa) 2^(1 - bias)``.

    Parameters
    ----------
    exponent : bits of the exponent, at least 1.
    mantissa : bits of the mantissa; with the sign, 3 to 8 bits in all.
    specials : codes that stand for no number: ``"none"`` (FP4, FP6, LLM-FP4), ``"nan"`` (only all ones,
        as in ``float8_e4m3fn``) or ``"ieee"`` (the whole top exponent, as in ``float8_e5m2``).
    bias : exponent bias, any real number; by default ``2^(exponent-1) - 1``.
    scales : how a scale is stored; codes are chosen against the stored scale.

    Raises
    ------
    InputError : if a field is out of range, or the bits are not 3 to 8 in all.

    Examples
    --------
    >>> grid = Floats.named("e2m1")
    >>> grid.levels()[:8]
    tensor([0.0000, 0.5000, 1.0000, 1.5000, 2.0000, 3.0000, 4.0000, 6.0000])
    >>> grid.round(torch.tensor([0.75, 2.4, -5.0, 100.0]), Range(torch.tensor(1.0)))
    tensor([ 1.,  2., -4.,  6.])
    >>> Floats.named("e4m3").largest, Floats.named("e5m2").largest
    (448.0, 57344.0)

    References
    ----------
    Micikevicius et al., arXiv:2209.05433 (FP8); Liu et al., arXiv:2310.16836, sec. 3 (real bias).
    """

    exponent: Annotated[int, at.Interval(ge=1, le=7)]
    mantissa: Annotated[int, at.Interval(ge=0, le=6)]
    specials: Specials = "none"
    bias: float | None = None
    scales: Scales = "float16"

    def __post_init__(self) -> None:
        check_fields(self)
        if not 3 <= self.bits <= 8:
            raise InputError("exponent", f"{self.name} has {self.bits} bits with its sign, not 3 to 8")
        if self.exponent == 1 and self.specials == "ieee":
            raise InputError("specials", "a single exponent bit leaves no numbers beside infinity; use none")

    @classmethod
    def named(cls, name: str, *, scales: Scales = "float16") -> Floats:
        """A format by name, ``"e2m1"``; ``e4m3`` and ``e5m2`` have the specials of FP8, others none.

        Raises
        ------
        InputError : if the name is not of this form.
        """
        match = re.fullmatch(r"e(\d)m(\d)", name)
        if match is None:
            raise InputError("numbers", f'{name!r} is not a format such as "e2m1" or "e4m3"')
        specials: dict[str, Specials] = {"e4m3": "nan", "e5m2": "ieee"}
        fields = {"exponent": int(match[1]), "mantissa": int(match[2])}
        return cls(**fields, specials=specials.get(name, "none"), scales=scales)

    @property
    def name(self) -> str:
        """``"e2m1"``."""
        return f"e{self.exponent}m{self.mantissa}"

    @property
    def bits(self) -> int:
        """Bits of a code, the sign's with them."""
        return 1 + self.exponent + self.mantissa

    @property
    def zero_bits(self) -> int:
        """No zero is stored."""
        return 0

    @property
    def scale_bits(self) -> int:
        """Bits of a stored scale."""
        return SCALE_BITS[self.scales]

    @cached_property
    def largest(self) -> float:
        """The largest level."""
        levels = self.levels()
        return float(levels[levels.isfinite()].max())

    def levels(self) -> Tensor:
        """Level of each code, float32 ``[2^bits]``: sign, exponent, mantissa from the highest bit down."""
        code = torch.arange(2**self.bits)
        sign = 1.0 - 2.0 * (code >> (self.bits - 1))
        field = (code >> self.mantissa) & (2**self.exponent - 1)
        mantissa = code & (2**self.mantissa - 1)
        significand = (mantissa + (field > 0) * 2**self.mantissa).double()
        level = (
            sign
            * significand
            * torch.exp2((field.clamp(min=1) - self.mantissa - self.exponent_bias).double())
        )
        top = field == 2**self.exponent - 1
        if self.specials == "nan":
            level[top & (mantissa == 2**self.mantissa - 1)] = torch.nan
        if self.specials == "ieee":
            level[top] = torch.where(mantissa == 0, sign * torch.inf, torch.nan)[top].double()
        levels: Tensor = level.float()
        return levels

    def over(self, x: Tensor) -> Floats:
        """The grid for a whole tensor: where scales are float8, with a bias that makes them reach all of it.

        That is NVFP4's scale of a tensor: here the power of two under which the largest group's scale lies
        in the upper octave of float8, above 224, so that it costs no rounding. Other grids are as they are.

        Examples
        --------
        >>> weight = torch.tensor([[0.03, 0.01], [0.002, 0.001]])
        >>> grid = Floats.named("e2m1", scales="float8").over(weight)
        >>> grid.bias, grid.fit(weight).scale.flatten()
        (17.0, tensor([320.,  22.]))
        """
        if self.scales != "float8":
            return self
        peak = x.abs().amax()
        octaves = torch.frexp(LARGEST_FLOAT8 * self.largest / torch.where(peak > 0, peak, 1.0))[1] - 1
        return replace(self, bias=self.exponent_bias + int(octaves))

    def fit(self, groups: Tensor, shrink: float = 1.0) -> Range:
        """The scale that puts ``shrink`` times each group's largest magnitude on the largest level."""
        peak = groups.abs().amax(-1, keepdim=True) * shrink
        return Range(stored(peak / self.largest, self.scales))

    def round(self, x: Tensor, within: Range) -> Tensor:
        """The nearest value on the grid, beyond the largest the largest; ties to the even mantissa."""
        magnitude, step = self._rounded(x, within)
        rounded: Tensor = (magnitude * step / 2.0**self.exponent_bias).copysign_(
            x / within.scale
        ) * within.scale
        return rounded

    def encode(self, x: Tensor, within: Range) -> Tensor:
        """The code of the nearest value, uint8; zero is never negative."""
        magnitude, step = self._rounded(x, within)
        carried = magnitude == 2 ** (self.mantissa + 1)  # rounded up to the next power of two
        field = torch.frexp(step)[1] - 1 + self.mantissa + carried
        significand = torch.where(carried, magnitude / 2, magnitude).int()
        normal = significand >= 2**self.mantissa
        code = torch.where(normal, (field << self.mantissa) + significand - 2**self.mantissa, significand)
        sign = ((x / within.scale < 0) & (code > 0)).int() << (self.bits - 1)
        return (code + sign).to(torch.uint8)

    @property
    def exponent_bias(self) -> float:
        return 2 ** (self.exponent - 1) - 1 if self.bias is None else self.bias

    def _rounded(self, x: Tensor, within: Range) -> tuple[Tensor, Tensor]:
        """How many steps the nearest magnitude is, and the step there, both for a bias of 0."""
        return float_steps(
            x / within.scale, mantissa=self.mantissa, bias=self.exponent_bias, largest=self.largest
        )
