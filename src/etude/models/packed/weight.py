"""A weight in a few bits, wherever it came from and whatever its numbers mean."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

Zeros = Literal["none", "whole", "real"]
Inputs = Literal["none", "int8", "e4m3", "other"]


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """How the weight of a layer is stored.

    Attributes
    ----------
    bits : of a code.
    numbers : what codes count: "int", or a floating-point format such as "e2m1"; anything else is a
        name that only Etude's own layout knows to keep.
    zeros : whether a group has a zero, and whether it is a whole level or any number.
    group : consecutive inputs of a row that share a scale, "channel" for a whole row, "tensor" for all.
    scales : how a scale is stored: "float32", "float16", "bfloat16", "power-of-two" or "float8" (E4M3).
    ordered : every column names its group, for groups are not consecutive columns.
    compensated : a low-rank product is added.
    divided : inputs are divided by numbers of their own before.
    inputs : what the layer's inputs are rounded to before, each token in a range of its own: "none", "int8"
        (symmetric), "e4m3"; "other" for anything else.
    """

    bits: int
    numbers: str = "int"
    zeros: Zeros = "none"
    group: int | Literal["channel", "tensor"] = "channel"
    scales: str = "float16"
    ordered: bool = False
    compensated: bool = False
    divided: bool = False
    inputs: Inputs = "none"


@dataclass(frozen=True)
class LowRank:
    """A product ``left @ right``, ``[out, rank]`` by ``[rank, in]``, that is added to a weight."""

    left: Tensor
    right: Tensor


@dataclass(frozen=True)
class Packed:
    """A weight ``[out, in]``: codes, the level of each code, and a range for each group.

    A code stands for ``scale * (levels[code] - zero)``. In memory codes take 1, 2, 4 or 8 bits, the
    next that holds them, the first of a byte in its lowest bits.

    Attributes
    ----------
    shape : outputs and inputs.
    octets : uint8 ``[out, ceil(in * width / 8)]``.
    levels : float32 ``[2^bits]``.
    scale : ``[rows, groups]``, one row for a whole tensor, in the precision in which it is stored.
    zero : in levels, float32, shaped like ``scale``; None where there is none.
    index : int64 ``[in]``, the group of each column; None where groups are consecutive columns.
    low_rank : what is added to the decoded weight; None for nothing.
    divisor : ``[in]``, float32, by which inputs are divided before; None for 1.

    Examples
    --------
    >>> codes = torch.tensor([[0, 1, 2, 3]], dtype=torch.uint8)
    >>> weight = Packed.of(codes, torch.arange(4) - 2.0, scale=torch.tensor([[0.5, 10.0]]))
    >>> weight.octets, weight.decoded()
    (tensor([[228]], dtype=torch.uint8), tensor([[-1.0000, -0.5000,  0.0000, 10.0000]]))
    """

    shape: tuple[int, int]
    octets: Tensor
    levels: Tensor
    scale: Tensor
    zero: Tensor | None = None
    index: Tensor | None = None
    low_rank: LowRank | None = None
    divisor: Tensor | None = None

    @classmethod
    def of(
        cls,
        codes: Tensor,
        levels: Tensor,
        scale: Tensor,
        zero: Tensor | None = None,
        index: Tensor | None = None,
        low_rank: LowRank | None = None,
        divisor: Tensor | None = None,
    ) -> Packed:
        """Pack codes, uint8 ``[out, in]``."""
        width = _width(len(levels))
        shape = (codes.shape[0], codes.shape[1])
        return cls(shape, _octets(codes, width), levels.float(), scale, zero, index, low_rank, divisor)

    @property
    def bits(self) -> int:
        """Bits of a code, as many as the levels need."""
        return max(1, (len(self.levels) - 1).bit_length())

    @property
    def width(self) -> int:
        """Bits that a code takes in memory."""
        return _width(len(self.levels))

    def codes(self) -> Tensor:
        """The codes, uint8 ``[out, in]``."""
        if self.width == 8:
            return self.octets
        shifts = torch.arange(0, 8, self.width, dtype=torch.uint8)
        single: Tensor = (self.octets[..., None] >> shifts) & (2**self.width - 1)
        return single.reshape(len(self.octets), -1)[:, : self.shape[1]]

    def decoded(self, rows: slice = slice(None)) -> Tensor:
        """The numbers that the codes of some rows stand for, float32 ``[rows, in]``."""
        level = self._spelt[self.octets[rows].int()].reshape(-1, self._padded)[:, : self.shape[1]]
        scale = self._each(self._of_rows(self.scale, rows).float())
        if self.zero is None:
            return level.mul_(scale)
        return level.sub_(self._each(self._of_rows(self.zero, rows))).mul_(scale)

    def weight(self) -> Tensor:
        """The weight that a layer computes with, for undivided inputs, float32 ``[out, in]``."""
        base = self.decoded()
        whole = base if self.low_rank is None else base + self.low_rank.left @ self.low_rank.right
        return whole if self.divisor is None else whole / self.divisor

    def per_group(self) -> tuple[Tensor, Tensor | None]:
        """Scale and zero of each row and group, float32 ``[out, groups]``, also where rows share them."""
        rows = self.shape[0]
        return self.scale.float().expand(rows, -1), None if self.zero is None else self.zero.expand(rows, -1)

    def taking(self, rows: Tensor) -> Packed:
        """The weight with its rows in another order, int64 ``[out]``."""
        scale, zero = self.scale, self.zero
        if len(scale) > 1:
            scale, zero = scale[rows], None if zero is None else zero[rows]
        return replace(self, octets=self.octets[rows], scale=scale, zero=zero)

    def bytes(self) -> int:
        """What it takes in memory."""
        parts = [self.octets, self.scale, self.levels]
        parts += [part for part in (self.zero, self.index, self.divisor) if part is not None]
        if self.low_rank is not None:
            parts += [self.low_rank.left, self.low_rank.right]
        return sum(part.numel() * part.element_size() for part in parts)

    @property
    def _padded(self) -> int:
        return self.octets.shape[1] * (8 // self.width)

    @cached_property
    def _spelt(self) -> Tensor:
        """The levels of the codes in each byte, float32 ``[256, codes]``."""
        byte = torch.arange(256)[:, None] >> torch.arange(0, 8, self.width)
        unused = 2**self.width - len(self.levels)
        levels = torch.nn.functional.pad(self.levels, (0, unused))
        spelt: Tensor = levels[byte & (2**self.width - 1)]
        return spelt

    def _of_rows(self, part: Tensor, rows: slice) -> Tensor:
        return part if len(part) == 1 else part[rows]

    def _each(self, part: Tensor) -> Tensor:
        """What each group has, for each of its columns; broadcasts against ``[rows, in]``."""
        if self.index is not None:
            return part[:, self.index]
        groups = part.shape[1]
        return part if groups == 1 else part.repeat_interleave(self.shape[1] // groups, 1)


def _width(levels: int) -> int:
    return next(width for width in (1, 2, 4, 8) if levels <= 2**width)


def _octets(codes: Tensor, width: int) -> Tensor:
    if width == 8:
        return codes.contiguous()
    each = 8 // width
    padded = torch.nn.functional.pad(codes, (0, -codes.shape[1] % each))
    places = padded.reshape(len(codes), -1, each) << torch.arange(0, 8, width, dtype=torch.uint8)
    return places.sum(-1, dtype=torch.uint8)
