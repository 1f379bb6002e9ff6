"""What every grid is: codes, their levels, and a range that scales them."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor

from etude.compress.quantize.grids.scales import Scales


class Range(NamedTuple):
    """Where a grid lies: a code of some level stands for ``scale * (level - zero)``.

    Attributes
    ----------
    scale : the step, float32, of a shape that broadcasts against the values; never 0.
    zero : in levels, the same shape; None where it is 0 everywhere (nothing is stored then).
    """

    scale: Tensor
    zero: Tensor | None = None


class Grid(Protocol):
    """A set of levels; a frozen dataclass, so that equal grids compare equal."""

    @property
    def scales(self) -> Scales:
        """How a scale is stored."""

    @property
    def bits(self) -> int:
        """Bits of a code."""

    @property
    def zero_bits(self) -> int:
        """Bits of a stored zero, 0 if none is stored."""

    @property
    def scale_bits(self) -> int:
        """Bits of a stored scale."""

    def levels(self) -> Tensor:
        """Level of each code, float32 ``[2^bits]``; NaN or infinite for codes that stand for no number."""

    def fit(self, groups: Tensor, shrink: float = 1.0) -> Range:
        """The range that covers each group, ``[..., size]``, times ``shrink``; tensors ``[..., 1]``."""

    def round(self, x: Tensor, within: Range) -> Tensor:
        """The nearest value on the grid; beyond its ends, the end."""

    def encode(self, x: Tensor, within: Range) -> Tensor:
        """The code of the nearest value, uint8."""


def decode(grid: Grid, codes: Tensor, within: Range) -> Tensor:
    """The values that codes stand for, float32.

    Examples
    --------
    >>> import torch
    >>> from etude.compress.quantize.grids import Integers
    >>> grid = Integers(bits=2, symmetric=True)
    >>> decode(grid, torch.tensor([0, 1, 2, 3], dtype=torch.uint8), Range(torch.tensor(0.5)))
    tensor([-1.0000, -0.5000,  0.0000,  0.5000])
    """
    level = grid.levels()[codes.int()]
    return within.scale * (level if within.zero is None else level - within.zero)
