"""Searches for the range that loses least."""

from __future__ import annotations

import torch
from torch import Tensor

from etude.compress.quantize.grids import Grid, Range


def least_error(
    grid: Grid, groups: Tensor, *, norm: float = 2.4, steps: int = 100, least: float = 0.2
) -> Range:
    """The shrunk range that minimises ``sum |round(w) - w|^norm`` in each group.

    Tries the range of the extremes times ``1, 1 - 1/steps, ...``, down to but not including ``least``;
    the widest of equals wins.

    Parameters
    ----------
    grid : any grid.
    groups : ``[..., size]``.
    norm : exponent; 2 for the mean squared error, 2.4 as in GPTQ's code.
    steps : a step of the search is ``1 / steps`` of the range of the extremes.
    least : where the search ends.

    Returns
    -------
    Range : tensors ``[..., 1]``.

    Examples
    --------
    >>> from etude.compress.quantize.grids import Integers
    >>> group = torch.tensor([[0.1] * 30 + [-0.1] * 30 + [1.0]])
    >>> grid = Integers(bits=2, symmetric=True)
    >>> float(grid.fit(group).scale), round(float(least_error(grid, group, norm=2.0).scale), 3)
    (0.66650390625, 0.227)

    References
    ----------
    Frantar et al., arXiv:2210.17323: the option ``mse`` of the authors' code.
    """
    best = grid.fit(groups)
    error = _error(grid, groups, best, norm)
    for step in range(1, round((1 - least) * steps)):
        candidate = grid.fit(groups, 1 - step / steps)
        candidate_error = _error(grid, groups, candidate, norm)
        better = candidate_error < error
        error = torch.where(better, candidate_error, error)
        best = choose(better, candidate, best)
    return best


def choose(where: Tensor, one: Range, other: Range) -> Range:
    """``one`` for the groups marked true, ``other`` for the rest."""
    zero = None
    if one.zero is not None and other.zero is not None:
        zero = torch.where(where, one.zero, other.zero)
    return Range(torch.where(where, one.scale, other.scale), zero)


def _error(grid: Grid, groups: Tensor, within: Range, norm: float) -> Tensor:
    difference = grid.round(groups, within).sub_(groups)
    powers = difference.square_() if norm == 2 else difference.abs_().pow_(norm)
    return powers.sum(-1, keepdim=True)
