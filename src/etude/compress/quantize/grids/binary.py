"""One bit: two levels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from etude.compress.quantize.grids.base import Range
from etude.compress.quantize.grids.scales import SCALE_BITS, Scales, stored
from etude.method import check_fields


@dataclass(frozen=True, kw_only=True)
class Binary:
    """Two levels, -1 and 1, at the distance that loses least.

    For a group the scale is ``mean|w|``, which minimises ``sum (w - scale sign(w))^2``; with ``centred``
    it is ``mean|w - mean(w)|`` around the group's mean, which is stored as the zero. A value right
    between the two levels goes to the upper one.

    Parameters
    ----------
    centred : store a mean for each group.
    scales : how a scale (and a mean) is stored.

    Examples
    --------
    >>> grid = Binary()
    >>> group = torch.tensor([-0.5, 0.25, 1.0, -0.25])
    >>> grid.round(group, grid.fit(group))
    tensor([-0.5000,  0.5000,  0.5000, -0.5000])

    References
    ----------
    Rastegari et al., "XNOR-Net", ECCV 2016, eq. 6. arXiv:1603.05279.
    """

    centred: bool = False
    scales: Scales = "float16"

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def bits(self) -> int:
        """One."""
        return 1

    @property
    def zero_bits(self) -> int:
        """A mean is stored as a scale is."""
        return self.scale_bits if self.centred else 0

    @property
    def scale_bits(self) -> int:
        """Bits of a stored scale."""
        return SCALE_BITS[self.scales]

    def levels(self) -> Tensor:
        """``[-1, 1]``."""
        return torch.tensor([-1.0, 1.0])

    def fit(self, groups: Tensor, shrink: float = 1.0) -> Range:
        """The scale that loses least in each group ``[..., size]``, times ``shrink``: ``[..., 1]``."""
        if not self.centred:
            return Range(stored(groups.abs().mean(-1, keepdim=True) * shrink, self.scales))
        mean = groups.mean(-1, keepdim=True)
        mean = stored(mean, self.scales) * (mean != 0)
        scale = stored((groups - mean).abs().mean(-1, keepdim=True) * shrink, self.scales)
        return Range(scale, -mean / scale)

    def round(self, x: Tensor, within: Range) -> Tensor:
        """The nearer of the two values."""
        upper = self.encode(x, within).float() * 2 - 1
        return within.scale * (upper if within.zero is None else upper - within.zero)

    def encode(self, x: Tensor, within: Range) -> Tensor:
        """1 for the upper value, 0 for the lower, uint8."""
        steps = x / within.scale
        return (steps >= (0 if within.zero is None else -within.zero)).to(torch.uint8)
