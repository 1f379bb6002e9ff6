"""Choose the weights to remove: exact counts, ties settled by position, never by threshold."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import combinations
from typing import Annotated, Literal

import annotated_types as at
import numpy as np
import torch
from torch import Tensor

from etude.errors import InputError
from etude.models.blocks import Linear

Sparsity = Annotated[float, at.Interval(ge=0, lt=1)]
Within = Literal["row", "matrix"]
Rule = Literal["count", "cumulative"]

_FEW = 8
"""Columns up to which comparing all pairs beats selecting: the groups of "n:m" patterns."""


def lowest(score: Tensor, count: int) -> Tensor:
    """Mark the ``count`` lowest scores of every row; among equal scores the leftmost go first.

    Parameters
    ----------
    score : ``[rows, columns]``, finite.
    count : how many to mark in each row, 0 to ``columns``.

    Returns
    -------
    Tensor : bool, shaped like ``score``, with exactly ``count`` true values in every row.

    Examples
    --------
    >>> lowest(torch.tensor([[3.0, 1.0, 2.0, 1.0]]), 2)
    tensor([[False,  True, False,  True]])
    """
    if count == 0:
        return torch.zeros_like(score, dtype=torch.bool)
    if score.shape[1] <= _FEW:
        return _ranks(score) < count
    values = score.contiguous().numpy()
    # numpy selects with vector instructions: 8 times faster than torch.kthvalue here.
    threshold = torch.from_numpy(np.partition(values, count - 1, axis=1)[:, count - 1, None].copy())
    marked = score <= threshold
    if (np.count_nonzero(marked.numpy(), axis=1) == count).all():
        return marked
    tied = score == threshold
    below = marked ^ tied
    tied &= tied.cumsum(1) <= count - below.sum(1, keepdim=True)
    return below | tied


def _ranks(score: Tensor) -> Tensor:
    """The place of every score in its row, from the lowest; compares each pair of columns once."""
    columns = score.T.contiguous()
    ranks = torch.zeros(columns.shape, dtype=torch.uint8)
    for left, right in combinations(range(len(columns)), 2):
        higher = columns[left] > columns[right]
        ranks[left] += higher
        ranks[right] += ~higher
    return ranks.T.contiguous()


def lowest_share(score: Tensor, sparsity: float) -> Tensor:
    """Mark the scores that make up the same share of every row's sum, however many they are.

    Wanda's variant: in each row the lowest scores are removed whose sum is at most ``alpha`` times the
    row's. One ``alpha`` serves the matrix, found by bisection between 0 and 0.8, from 0.4 on, until the
    marked fraction is within 0.001 of ``sparsity`` or the interval is shorter than 0.001.

    Parameters
    ----------
    score : ``[rows, columns]``, not negative.
    sparsity : fraction of the matrix to mark, in (0, 1).

    Returns
    -------
    Tensor : bool, shaped like ``score``.

    Examples
    --------
    >>> lowest_share(torch.tensor([[1.0, 1.0, 1.0, 9.0], [4.0, 1.0, 4.0, 4.0]]), 0.5)
    tensor([[ True,  True,  True, False],
            [False,  True, False, False]])
    """
    ordered, order = score.sort(dim=1, stable=True)
    sums = ordered.cumsum(1, dtype=torch.float64)

    def marked(alpha: float) -> Tensor:
        return sums <= alpha * sums[:, -1:]

    low, high, alpha = 0.0, 0.8, 0.4
    if float(marked(high).float().mean()) < sparsity:
        high = 1.0  # beyond what the authors tried: so large a share is needed for few kept weights
    fraction = float(marked(alpha).float().mean())
    while abs(fraction - sparsity) > 0.001 and high - low >= 0.001:
        low, high = (low, alpha) if fraction > sparsity else (alpha, high)
        alpha = (low + high) / 2
        fraction = float(marked(alpha).float().mean())
    return torch.zeros_like(score, dtype=torch.bool).scatter_(1, order, marked(alpha))


def n_of_m(pattern: str) -> tuple[int, int] | None:
    """Read a pattern: None for ``"unstructured"``, ``(n, m)`` for ``"n:m"``, which keeps n of every m.

    Raises
    ------
    InputError : if it is neither, or n is not in 1..m.
    """
    if pattern == "unstructured":
        return None
    match = re.fullmatch(r"(\d+):(\d+)", pattern)
    if match is None:
        raise InputError("pattern", f'{pattern!r} is neither "unstructured" nor "n:m", such as "2:4"')
    n, m = int(match[1]), int(match[2])
    if not 1 <= n <= m:
        raise InputError("pattern", f"{pattern!r} keeps {n} of every {m}; n must be 1 to {m}")
    return n, m


def check_pattern(sparsity: float, pattern: str) -> None:
    """Raise `InputError` if the pattern is malformed or removes another share than ``sparsity``."""
    kept = n_of_m(pattern)
    if kept is not None and sparsity != 0 and abs(1 - kept[0] / kept[1] - sparsity) > 1e-9:
        share = round(1 - kept[0] / kept[1], 6)
        raise InputError("sparsity", f"pattern {pattern} removes {share:g} of the weights, not {sparsity:g}")


def check_rule(rule: Rule, pattern: str, within: Within = "row") -> None:
    """Raise `InputError` if the "cumulative" rule is asked for other groups than rows."""
    if rule == "cumulative" and (pattern != "unstructured" or within != "row"):
        raise InputError("rule", '"cumulative" is for unstructured pruning within rows; use "count"')


def check_widths(linears: Iterable[Linear], pattern: str) -> None:
    """Raise `InputError` if m of an "n:m" pattern does not divide the input width of a layer."""
    kept = n_of_m(pattern)
    for linear in linears if kept is not None else ():
        width = linear.weight.shape[1]
        if kept is not None and width % kept[1]:
            raise InputError(
                "pattern", f"{pattern}: {linear.name} has {width} inputs, not a multiple of {kept[1]}"
            )


def removal_mask(
    score: Tensor,
    sparsity: float,
    pattern: str = "unstructured",
    within: Within = "row",
    rule: Rule = "count",
) -> Tensor:
    """Mark what to remove: the lowest scores of each row, of the matrix, or of each m inputs of a row.

    Parameters
    ----------
    score : importance, ``[out, in]``.
    sparsity : share to remove, in [0, 1): ``floor(in * sparsity)`` of each row, or
        ``floor(out * in * sparsity)`` of the matrix.
    pattern : ``"unstructured"`` or ``"n:m"`` (keeps n of every m consecutive inputs).
    within : the group in which scores are compared; ignored by ``"n:m"``.
    rule : ``"count"`` as said, or ``"cumulative"``, see `lowest_share`; ignored by ``"n:m"``.

    Returns
    -------
    Tensor : bool ``[out, in]``.

    Raises
    ------
    InputError : if a score is not finite: the model, or what it computes, is broken.
    """
    kept = n_of_m(pattern)
    if sparsity == 0:
        return torch.zeros_like(score, dtype=torch.bool)
    if not bool(score.sum().isfinite()):
        raise InputError("model", "a weight, or what enters its layer, is not finite; the model is broken")
    if kept is not None:
        n, m = kept
        return lowest(score.reshape(-1, m), m - n).reshape(score.shape)
    if rule == "cumulative":
        return lowest_share(score, sparsity)
    groups = score if within == "row" else score.reshape(1, -1)
    return lowest(groups, int(groups.shape[1] * sparsity)).reshape(score.shape)


def remove(linear: Linear, mask: Tensor) -> None:
    """Set the marked weights of a layer to zero, in place."""
    # masked_fill_ takes five times as long; adding 0 turns -0 into 0.
    linear.weight.mul_(~mask).add_(0.0)
