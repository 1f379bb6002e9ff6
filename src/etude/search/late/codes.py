"""Residuals of token vectors in 1, 2, 4 or 8 bits a number, and products with them as they are.

The levels of a number lie evenly around zero, so that a product with a code is a product of integers and one
factor: nothing is decoded in a search. The integers of a byte lie ``8 / bits`` parts of the vector apart, so
that a shift and a mask give a whole part at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Bits = Literal[1, 2, 4, 8, 32]
"""Of a number; 32 keeps whole vectors."""

STEPS = {1: 1.596, 2: 0.9957, 4: 0.3352, 8: 0.0308}
"""Distance of levels with the least squared error for normal numbers of variance 1 (J. Max, 1960)."""

_DIGIT, _LARGEST = 128, 127 * 128
"""A factor of a product is an integer of two digits, each of which fits eight bits."""


@dataclass(frozen=True)
class Codec:
    """Writes residuals as codes, and multiplies by codes.

    Parameters
    ----------
    steps : distance of two levels for each number of a vector, float32 ``[width]``.
    bits : of a number.

    Examples
    --------
    >>> _ = torch.manual_seed(0)
    >>> residuals = torch.randn(1000, 8)
    >>> codec = Codec.fit(residuals, 4)
    >>> codes = codec.encode(residuals)
    >>> codes.shape, round(float((codec.decode(codes) - residuals).square().mean()), 3)
    (torch.Size([1000, 4]), 0.012)
    """

    steps: Tensor
    bits: int

    @classmethod
    def fit(cls, residuals: Tensor, bits: int) -> Codec:
        """Levels for residuals ``[tokens, width]`` such as these."""
        spread = residuals.square().mean(0).sqrt()
        return cls(STEPS[bits] * spread.clamp(min=torch.finfo(torch.float32).tiny), bits)

    @property
    def bytes(self) -> int:
        """Of one vector."""
        return -(-len(self.steps) * self.bits // 8)

    def encode(self, residuals: Tensor) -> Tensor:
        """``[tokens, width]`` to uint8 ``[tokens, bytes]``."""
        top = 2**self.bits - 1
        levels = (residuals / self.steps + top / 2).round().clamp(0, top).to(torch.uint8)
        padded = torch.nn.functional.pad(levels, (0, self.bytes * self._parts - levels.shape[1]))
        parts = padded.view(len(padded), self._parts, self.bytes)
        codes = torch.zeros(len(padded), self.bytes, dtype=torch.uint8)
        for part in range(self._parts):
            codes |= parts[:, part] << (part * self.bits)
        return codes

    def decode(self, codes: Tensor) -> Tensor:
        """The residuals that codes stand for, ``[tokens, width]``."""
        levels = torch.cat([self._part(codes, part) for part in range(self._parts)], 1)
        return (levels[:, : len(self.steps)].float() + self._middle) * self.steps

    def products(self, codes: Tensor, vectors: Tensor) -> Tensor:
        """``decode(codes) @ vectors.T``, ``[tokens, vectors]``, up to a relative 1e-4, from integers.

        Parameters
        ----------
        codes : uint8 ``[tokens, bytes]``.
        vectors : float32 ``[vectors, width]``.
        """
        factors = vectors * self.steps
        unit = factors.abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny) / _LARGEST
        whole = torch.nn.functional.pad(
            (factors / unit[:, None]).round(), (0, self.bytes * self._parts - len(self.steps))
        )
        high = (whole / _DIGIT).round()
        digits = torch.cat([high, whole - _DIGIT * high]).to(torch.int8)
        total = torch.zeros(len(codes), len(digits), dtype=torch.int32)
        for part in range(self._parts):
            own = digits[:, part * self.bytes : (part + 1) * self.bytes]
            total += torch._int_mm(self._part(codes, part), own.T.contiguous())
        joined = torch.cat([torch.diag(_DIGIT * unit), torch.diag(unit)])
        return torch.addmm(self._middle * factors.sum(1), total.float(), joined)

    @property
    def _parts(self) -> int:
        return 8 // self.bits

    @property
    def _middle(self) -> float:
        """What stands for level zero is this many levels away from the middle."""
        top: int = 2**self.bits - 1
        return (_DIGIT if self.bits == 8 else 0) - top / 2

    def _part(self, codes: Tensor, part: int) -> Tensor:
        """One part of each vector as int8; of eight bits less 128, which else would not fit."""
        if self.bits == 8:
            return (codes ^ _DIGIT).view(torch.int8)
        return (codes >> (part * self.bits)).bitwise_and_(2**self.bits - 1).view(torch.int8)
