"""What every weight quantiser is asked for: how the weights of a layer are to be stored."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

import annotated_types as at
from torch import Tensor, nn

from etude.compress.quantize.grids import (
    Convention,
    Floats,
    Granularity,
    Grid,
    Integers,
    Range,
    Scales,
    joined,
    split,
)
from etude.compress.quantize.lowrank import Factors, compensate
from etude.compress.quantize.quantized import Quantized
from etude.compress.quantize.searches import least_error
from etude.errors import InputError
from etude.models.blocks import Linear, block_linears

Bits = Annotated[int, at.Interval(ge=2, le=8)]
Group = Annotated[int | Literal["channel", "tensor"], at.Ge(1)]


@dataclass(frozen=True, kw_only=True)
class WeightFormat:
    """The fields that every weight quantiser has.

    Parameters
    ----------
    bits : of a weight, 2 to 8.
    group : consecutive inputs of a row that share a scale, "channel" for a whole row, "tensor" for all.
    numbers : "int", or a floating-point format of as many bits, such as "e2m1" or "e4m3".
    symmetric : whether integers go without a zero point.
    convention : how an integer range follows from a group: as "compressed-tensors" (and GPTQ), "awq" or
        "gguf" have it.
    scales : how a scale is stored: "float32", "float16", "bfloat16", "power-of-two"; or, of floating-point
        numbers, "float8" (E4M3), under a power of two that the whole weight shares. ``e2m1`` in groups of 32
        under powers of two is MXFP4, in groups of 16 under float8 NVFP4.
    search : the range of a group: "minmax", its extremes, or "error", shrunk to where the rounding
        error ``sum |error|^norm`` is least.
    norm : exponent of that error.
    rank : rank of a product that is added to each quantised weight to make up for its error; 0 for none.
    factors : how its two factors are stored: "float16" or "int8".
    """

    bits: Bits = 4
    group: Group = 128
    numbers: str = "int"
    symmetric: bool = False
    convention: Convention = "compressed-tensors"
    scales: Scales = "float16"
    search: Literal["minmax", "error"] = "minmax"
    norm: Annotated[float, at.Interval(gt=0, le=10)] = 2.4
    rank: Annotated[int, at.Ge(0)] = 0
    factors: Factors = "float16"

    def __post_init__(self) -> None:
        if self.numbers == "int" and self.scales == "float8":
            raise InputError("scales", "float8 is for floating-point numbers, such as numbers e2m1")
        if self.numbers != "int":
            bits = Floats.named(self.numbers).bits
            if bits != self.bits:
                raise InputError("bits", f"{self.numbers} takes {bits}, not {self.bits}")

    @property
    def grid(self) -> Grid:
        """The grid that weights are rounded to."""
        if self.numbers != "int":
            return Floats.named(self.numbers, scales=self.scales)
        return Integers(
            bits=self.bits, symmetric=self.symmetric, convention=self.convention, scales=self.scales
        )

    def check(self, model: nn.Module) -> None:
        """Raise `InputError` if the groups do not fit the layers of ``model``."""
        check_group(block_linears(model), self.group)

    def grid_of(self, weight: Tensor) -> Grid:
        """The grid that one weight is rounded to: `grid`; where scales are float8, fitted to the weight."""
        grid = self.grid
        return grid.over(weight) if isinstance(grid, Floats) else grid

    def fit(self, groups: Tensor, grid: Grid | None = None) -> Range:
        """The range of each group ``[..., size]`` on a grid; by default on `grid`."""
        grid = self.grid if grid is None else grid
        if self.search == "minmax":
            return grid.fit(groups)
        return least_error(grid, groups, norm=self.norm)

    def nearest(self, weight: Tensor) -> Quantized:
        """A weight ``[out, in]`` rounded to nearest in the ranges of its groups."""
        grid = self.grid_of(weight)
        return Quantized.nearest(weight, grid, self.group, self.fit(split(weight, self.group), grid))

    def round(self, weight: Tensor) -> Tensor:
        """The numbers alone that `nearest` stores, ``[out, in]``."""
        groups, grid = split(weight, self.group), self.grid_of(weight)
        return joined(grid.round(groups, self.fit(groups, grid)), (weight.shape[0], weight.shape[1]))

    def put(self, linear: Linear, quantized: Quantized) -> Quantized:
        """Let a layer compute with its quantised weight, compensated if asked for; returns what is stored."""
        if self.rank:
            error = linear.weight - quantized.base()
            quantized = dataclasses.replace(quantized, low_rank=compensate(error, self.rank, self.factors))
        linear.weight.copy_(quantized.weight())
        return quantized


@dataclass(frozen=True, kw_only=True)
class IntegerFormat(WeightFormat):
    """The same for methods whose rounding needs evenly spaced levels.

    Raises
    ------
    InputError : if the numbers are of floating point.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.numbers != "int":
            raise InputError("numbers", f"{self.numbers} is not evenly spaced; this method needs integers")

    @property
    def grid(self) -> Integers:
        """The grid that weights are rounded to."""
        return Integers(
            bits=self.bits, symmetric=self.symmetric, convention=self.convention, scales=self.scales
        )


def check_group(linears: Iterable[Linear], group: Granularity) -> None:
    """Raise `InputError` if a group's size does not divide the input width of a layer."""
    if isinstance(group, str):
        return
    for linear in linears:
        width = linear.weight.shape[1]
        if width % group:
            common = [size for size in (32, 64, 96, 128, 192, 256) if width % size == 0 and size < width]
            hint = f"{' or '.join(map(str, common[-3:]))} would, or channel" if common else "use channel"
            raise InputError("group", f"{group} does not divide the {width} inputs of {linear.name}; {hint}")
