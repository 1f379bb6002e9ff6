"""Searches for the range that loses least."""

from __future__ import annotations

from collections.abc import Callable

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
    >>> group = torch.tensor([[0.1] * 50 + [-0.1] * 50 + [1.0]])
    >>> grid = Integers(bits=2, symmetric=True)
    >>> [round(float(found.scale), 2) for found in (grid.fit(group), least_error(grid, group, norm=2.0))]
    [0.67, 0.14]

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


def least_clipping(
    grid: Grid, groups: Tensor, grams: Tensor, *, points: int = 20, most: float = 0.5, together: bool = False
) -> Tensor:
    """How far the weights of each group may be clipped so that the group's part of the output errs least.

    Tries ``m = max|w|`` times ``1, 1 - 1/points, ...`` as long as it exceeds ``1 - most``. The error is
    ``mean_t (sum_i x_ti (round(clip(w_i)) - w_i))^2``; the widest of equals wins.

    Parameters
    ----------
    grid : any grid.
    groups : weights, ``[out, groups, size]``.
    grams : ``mean_t x_t x_t^T`` of each group's inputs, ``[groups, size, size]``.
    points : a step is ``1 / points`` of the largest magnitude.
    most : share of the magnitude that may be clipped, less than 1.
    together : one threshold for all groups, which then also share a range.

    Returns
    -------
    Tensor : the threshold of each group, ``[out, groups, 1]``.

    References
    ----------
    Lin et al., arXiv:2306.00978: the clipping search of the authors' code, with the inputs summed up in
    their Gram matrices, which gives the same errors from all tokens at a fraction of the time.
    """
    largest = groups.abs().amax((0, 1, 2) if together else (2,), keepdim=True).expand(*groups.shape[:2], 1)
    best, error = largest, torch.full_like(largest, torch.inf)
    for step in range(int(most * points)):
        threshold = largest * (1 - step / points)
        clipped = groups.clamp(-threshold, threshold)
        shared = clipped.reshape(1, 1, -1) if together else clipped
        difference = grid.round(shared, grid.fit(shared)).reshape(groups.shape).sub_(groups)
        side = difference.transpose(0, 1)
        lost = ((side @ grams) * side).sum(-1).T[..., None]
        lost = lost.sum().expand_as(lost) if together else lost
        better = lost < error
        error = torch.where(better, lost, error)
        best = torch.where(better, threshold, best)
    return best


def least_point(loss: Callable[[int], float], points: int, stride: int = 1) -> int:
    """The point among ``0 .. points - 1`` of least loss, looked for coarsely and then around the best.

    Every ``stride``-th point is tried first, then the neighbours of the best at half the distance, and
    so on; with ``stride=1`` all are tried. Among equals the first wins; point 0 is always tried.

    Examples
    --------
    >>> tried = []
    >>> least_point(lambda point: tried.append(point) or abs(point - 7), points=20, stride=4)
    7
    >>> sorted(tried)
    [0, 4, 5, 6, 7, 8, 10, 12, 16]
    """
    losses = {point: loss(point) for point in range(0, points, stride)}
    while stride > 1:
        stride //= 2
        best = _least(losses)
        for point in (best - stride, best + stride):
            if 0 <= point < points and point not in losses:
                losses[point] = loss(point)
    return _least(losses)


def _least(losses: dict[int, float]) -> int:
    return min(sorted(losses), key=losses.__getitem__)


def least_points(
    loss: Callable[[Tensor], Tensor], count: int, points: int, *, stride: int = 1, first: int = 0
) -> tuple[Tensor, Tensor]:
    """`least_point` for many searches at once, each with a best point of its own.

    Parameters
    ----------
    loss : the losses ``[count]`` at one point for each search, int64 ``[count]``.
    count : of searches.
    points : there are, from 0.
    stride : as for `least_point`.
    first : a point that is tried in any case, before all others; it wins among equals.

    Returns
    -------
    tuple : the best points, int64 ``[count]``, and their losses ``[count]``.

    Examples
    --------
    >>> least = torch.tensor([7, 12])
    >>> least_points(lambda point: (point - least).abs().float(), 2, points=20, stride=4)[0]
    tensor([ 7, 12])
    """
    best = torch.full((count,), first)
    error = loss(best)

    def attempt(point: Tensor) -> None:
        nonlocal best, error
        found = loss(point)
        better = found < error
        best, error = torch.where(better, point, best), torch.where(better, found, error)

    for point in range(0, points, stride):
        attempt(torch.full((count,), point))
    while stride > 1:
        stride //= 2
        centre = best
        for step in (-stride, stride):
            attempt((centre + step).clamp(0, points - 1))
    return best, error
