"""Ranges to round in, for many widths at once: shrunk from the extremes to where least is lost."""

from __future__ import annotations

import torch
from torch import Tensor

from etude.compress.quantize.straight_through import ends

NORM = 2.4
"""Exponent of the rounding error."""
SUMMARY = 4096
"""Numbers that stand for a tensor of more: its order statistics at equal distances, extremes included."""


def summary(x: Tensor) -> Tensor:
    """A tensor's distribution as one row of at most `SUMMARY` numbers, ``[1, numbers]``."""
    flat = x.detach().flatten().sort().values
    if len(flat) > SUMMARY:
        flat = flat[torch.linspace(0, len(flat) - 1, SUMMARY).round().long()]
    return flat[None]


def least_error(
    rows: Tensor, bits: int, *, symmetric: bool, signed: bool = True, tries: int = 80
) -> tuple[Tensor, Tensor]:
    """The range of each row in which ``mean |round(x) - x|^2.4`` is least.

    Tries the extremes times 1, 0.99, 0.98 ...; the widest of equals wins.

    Parameters
    ----------
    rows : ``[rows, numbers]``.
    bits : 2 to 8.
    symmetric : without an offset: the range is that of the largest magnitude, both ways if ``signed``.
    signed : whether codes are; if not, an offset is 0 as well.
    tries : how many ranges; 1 for the extremes.

    Returns
    -------
    (step, offset) : each ``[rows]``; code 0 stands for the offset.

    Examples
    --------
    >>> step, offset = least_error(torch.tensor([[-1.0, 0.0, 2.0]]), bits=2, symmetric=False)
    >>> step.item(), offset.item()
    (1.0, 1.0)
    """
    low, high = ends(bits, signed=signed)
    if symmetric:
        top = rows.abs().amax(1, keepdim=True)
        bottom = -top if signed else torch.zeros_like(top)
    else:
        top, bottom = rows.amax(1, keepdim=True), rows.amin(1, keepdim=True)
    best_step, best_offset, least = top, torch.zeros_like(top), torch.full_like(top, torch.inf)
    for shrunk in range(tries):
        factor = 1 - shrunk / 100
        step = ((top - bottom) * factor / (high - low)).clamp_min(1e-8)
        free = not symmetric and signed
        offset = bottom * factor - step * low if free else torch.zeros_like(step)
        rounded = ((rows - offset) / step).round_().clamp_(low, high).mul_(step).add_(offset)
        error = rounded.sub_(rows).abs_().pow_(NORM).mean(1, keepdim=True)
        better = error < least
        least = torch.where(better, error, least)
        best_step, best_offset = (
            torch.where(better, step, best_step),
            torch.where(better, offset, best_offset),
        )
    return best_step[:, 0], best_offset[:, 0]
