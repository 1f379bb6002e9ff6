"""Which values share a range: a whole tensor, a row, or consecutive columns of a row."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

Granularity = int | Literal["channel", "token", "tensor"]
"""A group's size along a row; or a range for each row, which is an output ``"channel"`` of a weight
``[out, in]`` and a ``"token"`` of activations ``[tokens, features]``; or one for the whole ``"tensor"``."""


def split(x: Tensor, by: Granularity) -> Tensor:
    """View a matrix ``[rows, columns]`` as ``[rows, groups, size]``; a whole tensor as ``[1, 1, size]``.

    ``by`` must divide the columns.

    Examples
    --------
    >>> import torch
    >>> [tuple(split(torch.zeros(2, 6), by).shape) for by in (3, "channel", "tensor")]
    [(2, 2, 3), (2, 1, 6), (1, 1, 12)]
    """
    if by == "tensor":
        return x.reshape(1, 1, -1)
    return x.unsqueeze(1) if isinstance(by, str) else x.reshape(x.shape[0], -1, by)


def joined(groups: Tensor, shape: tuple[int, int]) -> Tensor:
    """The matrix that was `split`."""
    return groups.reshape(shape)


def spread(per_group: Tensor, shape: tuple[int, int]) -> Tensor:
    """What each group has, ``[rows or 1, groups]``, for each of its elements: ``[rows or 1, columns]``."""
    return per_group.repeat_interleave(shape[1] // per_group.shape[1], dim=1)
