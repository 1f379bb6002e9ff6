"""What is left of a weight after quantisation, and what it takes to store it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from etude.compress.quantize.grids import (
    Floats,
    Granularity,
    Grid,
    Integers,
    Range,
    decode,
    joined,
    split,
    spread,
)
from etude.compress.quantize.lowrank import LowRank
from etude.models.blocks import block_linears
from etude.models.packed.parts import precision
from etude.models.packed.weight import LowRank as Product
from etude.models.packed.weight import Packed, Scheme


@dataclass(frozen=True)
class Quantized:
    """A weight ``[out, in]`` as codes of a grid, with the ranges of its groups.

    Attributes
    ----------
    grid : what the codes stand for.
    by : which weights share a range.
    codes : uint8 ``[out, in]``.
    scale : float32 ``[rows, groups]``, one row for a whole tensor.
    zero : in levels, shaped like ``scale``; None where nothing is stored.
    index : int64 ``[in]``, the group of each column; None where groups are consecutive columns.
    low_rank : what is added to the decoded weight; None for nothing.
    divisor : float16 numbers ``[in]`` by which inputs are divided before; None for 1.
    """

    grid: Grid
    by: Granularity
    codes: Tensor
    scale: Tensor
    zero: Tensor | None = None
    index: Tensor | None = None
    low_rank: LowRank | None = None
    divisor: Tensor | None = None

    @classmethod
    def nearest(cls, weight: Tensor, grid: Grid, by: Granularity, within: Range) -> Quantized:
        """Round a weight ``[out, in]`` to the grid in the given ranges, each tensor ``[rows, groups, 1]``."""
        codes = joined(grid.encode(split(weight, by), within), (weight.shape[0], weight.shape[1]))
        zero = None if within.zero is None else within.zero[..., 0]
        return cls(grid, by, codes, within.scale[..., 0], zero)

    @property
    def shape(self) -> tuple[int, int]:
        """Outputs and inputs."""
        return self.codes.shape[0], self.codes.shape[1]

    def within(self) -> Range:
        """The range of each weight, broadcasting against ``[out, in]``."""
        return Range(self._each(self.scale), None if self.zero is None else self._each(self.zero))

    def base(self) -> Tensor:
        """The weight that the codes stand for, float32 ``[out, in]``."""
        return decode(self.grid, self.codes, self.within())

    def weight(self) -> Tensor:
        """The weight that the layer computes with: the base and what is added to it, for undivided inputs."""
        base = self.base()
        whole = base if self.low_rank is None else base + self.low_rank.product()
        return whole if self.divisor is None else whole / self.divisor

    def scheme(self) -> Scheme:
        """How the layer is stored."""
        grid = self.grid
        whole = isinstance(grid, Integers) and grid.convention != "gguf"
        name = "int" if isinstance(grid, Integers) else grid.name if isinstance(grid, Floats) else "binary"
        return Scheme(
            bits=grid.bits,
            numbers=name,
            zeros="none" if self.zero is None else "whole" if whole else "real",
            group="channel" if self.by == "token" else self.by,
            scales=grid.scales,
            ordered=self.index is not None,
            compensated=self.low_rank is not None,
            divided=self.divisor is not None,
        )

    def packed(self) -> Packed:
        """The layer as it is held to be computed with: a few bits a weight, scales as they are stored."""
        low_rank = None if self.low_rank is None else Product(self.low_rank.left, self.low_rank.right)
        scale = self.scale.to(precision(self.grid.scales))
        return Packed.of(self.codes, self.grid.levels(), scale, self.zero, self.index, low_rank, self.divisor)

    def stored_bits(self) -> int:
        """Bits that the layer takes: codes, scales, zeros, columns' order and divisors, low-rank factors."""
        bits = self.codes.numel() * self.grid.bits + self.scale.numel() * self.grid.scale_bits
        if self.grid.scales == "float8":
            bits += 32  # what they share
        if self.zero is not None:
            bits += self.zero.numel() * self.grid.zero_bits
        if self.index is not None:
            bits += self.index.numel() * 32
        if self.divisor is not None:
            bits += self.divisor.numel() * 16
        return bits if self.low_rank is None else bits + self.low_rank.stored_bits()

    def _each(self, per_group: Tensor) -> Tensor:
        return spread(per_group, self.shape) if self.index is None else per_group[:, self.index]


def bits_per_weight(model: nn.Module, stored: Mapping[str, Quantized]) -> float:
    """Bits that a weight of the blocks' linear layers takes on average, with all that is stored for it.

    Examples
    --------
    >>> import etude
    >>> from etude.compress.quantize import Rtn
    >>> model, _ = etude.models.load("nano-llama")
    >>> bits_per_weight(model, {}), bits_per_weight(model, Rtn(bits=4, group=64).quantize(model))
    (32.0, 4.3125)
    """
    linears = {linear.name: linear.weight for linear in block_linears(model)}
    bits = sum(
        stored[name].stored_bits() if name in stored else weight.numel() * weight.element_size() * 8
        for name, weight in linears.items()
    )
    return bits / sum(weight.numel() for weight in linears.values())


def packed_bytes(model: nn.Module, stored: Mapping[str, Quantized]) -> float:
    """Bytes of all parameters of a model, those of quantised layers packed; tied ones count once."""
    linears = {linear.name: linear.weight for linear in block_linears(model)}
    dense = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    replaced = sum(linears[name].numel() * linears[name].element_size() for name in stored)
    return dense - replaced + sum(layer.stored_bits() for layer in stored.values()) / 8
