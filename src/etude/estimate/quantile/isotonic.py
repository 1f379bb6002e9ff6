"""Quantiles in order: sort, isotonic projection, sweep from the median. Gradients pass through all of them.

Sorting and the projection never increase the pinball loss summed over the levels; the sweep may.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

Repair = Literal["sort", "pava", "sweep", "none"]

ROWS = 1024
"""Rows that are projected at a time."""


def sort(quantiles: Tensor) -> Tensor:
    """Each row in ascending order; its gradient goes where its values come from.

    Examples
    --------
    >>> sort(torch.tensor([[3.0, 1.0, 2.0]])).tolist()
    [[1.0, 2.0, 3.0]]
    """
    return quantiles.sort(dim=1).values


def pava(quantiles: Tensor) -> Tensor:
    """The nearest ascending row in the sense of squares: what pooling adjacent violators gives.

    By the minimax formula, ``max_(i<=k) min_(j>=k) mean(q_i .. q_j)``; the gradient is that of the means.

    Examples
    --------
    >>> pava(torch.tensor([[1.0, 3.0, 2.0]])).tolist()
    [[1.0, 2.5, 2.5]]

    References
    ----------
    Robertson, Wright and Dykstra, "Order Restricted Statistical Inference", Wiley, 1988.
    """
    return torch.cat([_pava(rows) for rows in torch.split(quantiles, ROWS)])


def _pava(q: Tensor) -> Tensor:
    m = q.shape[1]
    centre = q.mean(dim=1, keepdim=True)  # sums of what is near 0 lose less
    sums = torch.nn.functional.pad((q - centre).cumsum(dim=1), (1, 0))
    first, last = torch.arange(m)[:, None], torch.arange(m)[None, :]
    means = (sums[:, None, 1:] - sums[:, :-1, None]) / (last - first + 1).clamp(min=1)
    means = means.masked_fill(last < first, torch.inf)
    least = means.flip(2).cummin(dim=2).values.flip(2)  # over j >= k, for each i
    least = least.masked_fill(last < first, -torch.inf)
    return least.max(dim=1).values + centre  # over i <= k


def sweep(quantiles: Tensor) -> Tensor:
    """Running maximum upwards and running minimum downwards from the middle level.

    Of an even number of levels the upper of the two in the middle stays as it is.

    Examples
    --------
    >>> sweep(torch.tensor([[4.0, 1.0, 3.0, 2.0, 5.0]])).tolist()
    [[1.0, 1.0, 3.0, 3.0, 5.0]]
    """
    middle = quantiles.shape[1] // 2
    below = quantiles[:, : middle + 1].flip(1).cummin(dim=1).values.flip(1)
    above = quantiles[:, middle:].cummax(dim=1).values
    return torch.cat([below[:, :-1], above], dim=1)


def soft_sort(quantiles: Tensor, strength: float = 0.1) -> Tensor:
    """Sorting with a gradient that reaches every value that might as well stand at a place.

    The projection of ``(1 .. m) / strength`` on the permutations of a row; exact sorting as the strength
    goes to 0, their mean as it grows.

    Examples
    --------
    >>> soft_sort(torch.tensor([[3.0, 1.0, 2.0]]), strength=0.1).tolist()
    [[1.0, 2.0, 3.0]]

    References
    ----------
    Blondel, Teboul, Berthet and Djolonga, "Fast Differentiable Sorting and Ranking", ICML 2020.
    """
    ordered = sort(quantiles)
    places = torch.arange(1, ordered.shape[1] + 1, dtype=ordered.dtype) / strength
    return places - pava(places - ordered)


REPAIRS: dict[str, Callable[[Tensor], Tensor]] = {
    "sort": sort,
    "pava": pava,
    "sweep": sweep,
    "none": lambda quantiles: quantiles,
}
"""By name, as they are applied to what is predicted."""

THROUGH: dict[str, Callable[[Tensor], Tensor]] = REPAIRS | {"sort": soft_sort}
"""By name, as they are applied inside the loss."""
