"""The range of a group looked for among all widths and zero points, as FlexRound's code does."""

from __future__ import annotations

import torch
from torch import Tensor

from etude.compress.quantize.grids import Integers, Range, stored

WIDTHS = 100
"""Widths that are tried: that of the extremes times ``1/100, 2/100, ...``."""


def best_of_grid(grid: Integers, groups: Tensor, norm: float) -> Range:
    """The width and the zero point that minimise ``sum |round(w) - w|^norm`` in each group.

    Every width is tried with every zero point that the codes allow; without zero points only widths are.
    The first of equals wins, narrow before wide. A whole search costs ``100 * 2^bits`` roundings.

    Parameters
    ----------
    grid : of integers.
    groups : ``[..., size]``.
    norm : exponent of the error.

    Returns
    -------
    Range : tensors ``[..., 1]``.

    Examples
    --------
    >>> group = torch.tensor([[0.1] * 50 + [-0.1] * 50 + [1.0]])
    >>> best_of_grid(Integers(bits=2), group, norm=2.4).scale < Integers(bits=2).fit(group).scale
    tensor([[True]])

    References
    ----------
    Lee et al., arXiv:2306.00317: ``perform_2D_search`` of the authors' code, with steps rounded to their
    storage before they are tried.
    """
    low, high = groups.amin(-1, keepdim=True).clamp(max=0), groups.amax(-1, keepdim=True).clamp(min=0)
    levels = 2**grid.bits - 1
    width = 2 * torch.maximum(-low, high) if grid.symmetric else high - low
    zeros = [None] if grid.symmetric else [torch.full_like(width, zero) for zero in range(levels + 1)]
    best, error = grid.fit(groups), torch.full_like(width, torch.inf)
    for step in range(1, WIDTHS + 1):
        scale = stored(width * (step / WIDTHS) / levels, grid.scales)
        for zero in zeros:
            found = (grid.round(groups, Range(scale, zero)) - groups).abs_().pow_(norm).sum(-1, keepdim=True)
            better = found < error
            error = torch.where(better, found, error)
            kept = None if zero is None or best.zero is None else torch.where(better, zero, best.zero)
            best = Range(torch.where(better, scale, best.scale), kept)
    return best
