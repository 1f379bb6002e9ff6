"""Packed weights whose levels are whole numbers, as kernels for integers want them."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from etude.models.packed.weight import Packed


def whole(weight: Packed) -> int | None:
    """The lowest level, if levels are consecutive whole numbers; else None."""
    levels = weight.levels
    first = int(levels[0]) if bool(levels.isfinite().all()) else 0
    return first if torch.equal(levels, torch.arange(len(levels)) + float(first)) else None


def in_blocks(weight: Packed, sizes: Iterable[int], bits: int) -> tuple[int, Tensor, Tensor, Tensor] | None:
    """A weight as codes of at most ``bits`` in blocks of one of these sizes, the first that fits.

    Returns
    -------
    (size, codes, scale, zero) or None : a code stands for ``scale * (code - zero)``; codes uint8
        ``[out, in]``, scale and zero float32 ``[out, in / size]``, of groups longer than a block repeated.
    """
    first, inputs = whole(weight), weight.shape[1]
    if first is None or weight.bits > bits or weight.index is not None:
        return None
    group = inputs // weight.scale.shape[1]
    size = next((size for size in sizes if group % size == 0), None)
    if size is None:
        return None
    scale, zero = weight.per_group()
    zero = torch.full_like(scale, -first) if zero is None else zero - first
    times = group // size
    return size, weight.codes(), scale.repeat_interleave(times, 1), zero.repeat_interleave(times, 1)
