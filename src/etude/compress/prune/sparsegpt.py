"""SparseGPT: remove weights column by column, and let the later columns make up for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import groupby, pairwise
from typing import Annotated

import annotated_types as at
import torch
from torch import Tensor, nn

from etude.compress.hessian import inverse_factor
from etude.compress.prune.masks import Sparsity, check_pattern, check_widths, lowest, n_of_m
from etude.method import method
from etude.models.blocks import Feed, Linear, block_linears, walk
from etude.models.memory import release
from etude.models.stats import Gram

Choose = Callable[[Tensor], Tensor]
"""From the scores of a run of columns, ``[out, columns]``, to what is removed of it, bool."""

_LEAF = 8
"""Columns that are updated one by one; longer runs are halved, and the halves joined by a product."""


@method("sparsegpt", task="prune")
class SparseGPT:
    """Remove weights by the error that they cost, and update those that are left.

    Goes through the columns of a layer from the left, in runs of ``width``. In each run the weights of
    smallest ``w_ij^2 / U_jj^2`` are removed, where ``U^T U`` is the inverse of the damped
    ``H = sum_t x_t x_t^T``: the squared output error that is left when all later columns adapt. Then
    they adapt.

    Parameters
    ----------
    sparsity : share of the weights of each linear layer to set to zero, in [0, 1).
    pattern : "unstructured", or "n:m" to keep n of every m consecutive inputs.
    damping : what is added to the diagonal of H, as a share of its mean.
    width : columns among which unstructured pruning compares weights.
    feed : what the model is like in front of a layer when its input is measured; see `Wanda`.

    Raises
    ------
    InputError : if a field is out of range, or m does not divide a layer's width.

    Examples
    --------
    >>> import etude
    >>> model, tokenizer = etude.models.load("nano-llama")
    >>> calibration = etude.data.calibration("novels", tokenizer, samples=8, length=128)
    >>> SparseGPT(sparsity=0.5).prune(model, calibration)
    >>> round(etude.models.sparsity(model), 2)
    0.5

    References
    ----------
    Frantar and Alistarh, "SparseGPT: Massive Language Models Can Be Accurately Pruned in One-Shot",
    ICML 2023, algorithm 1. arXiv:2301.00774.
    """

    sparsity: Sparsity = 0.5
    pattern: str = "unstructured"
    damping: Annotated[float, at.Ge(0)] = 0.01
    width: Annotated[int, at.Ge(1)] = 128
    feed: Feed = "linear"

    def __post_init__(self) -> None:
        check_pattern(self.sparsity, self.pattern)

    def check(self, model: nn.Module) -> None:
        """Raise `InputError` if the pattern does not fit ``model``."""
        check_widths(block_linears(model), self.pattern)

    def prune(self, model: nn.Module, calibration: Mapping[str, Tensor]) -> None:
        """Prune ``model`` in place, block by block, with inputs measured over ``calibration``."""
        self.check(model)
        if self.sparsity == 0:
            return
        widest = max(linear.weight.shape[1] for linear in block_linears(model))
        for block in walk(model, calibration, measure=Gram, feed=self.feed):
            for inputs, sharing in groupby(block.linears, key=lambda linear: linear.inputs):
                if len(inputs.matrix()) == widest:
                    release()
                self._scan(sharing, inputs.matrix())

    def _scan(self, linears: Iterable[Linear], hessian: Tensor) -> None:
        """Prune the layers that share an input."""
        factor = inverse_factor(hessian, self.damping)
        for linear in linears:
            scan(linear.weight, hessian, self._choose(linear.weight), width=self._run, factor=factor)

    @property
    def _run(self) -> int:
        kept = n_of_m(self.pattern)
        return self.width if kept is None else kept[1]

    def _choose(self, weight: Tensor) -> Choose:
        """Chooses, run by run, so many weights that the layer's count comes out to the unit."""
        kept = n_of_m(self.pattern)
        if kept is not None:
            return lambda score: lowest(score, kept[1] - kept[0])
        rows, columns = weight.shape
        ends = [*range(0, columns, self.width), columns]
        counts = (int(rows * b * self.sparsity) - int(rows * a * self.sparsity) for a, b in pairwise(ends))
        return lambda score: lowest(score.reshape(1, -1), next(counts)).view(score.shape)


@torch.no_grad()
def scan(
    weight: Tensor,
    hessian: Tensor,
    choose: Choose,
    *,
    width: int = 128,
    damping: float = 0.01,
    factor: Tensor | None = None,
) -> None:
    """Remove weights run by run of columns, and move those to the right so that they make up for it.

    Parameters
    ----------
    weight : ``[out, in]``, edited in place.
    hessian : ``sum_t x_t x_t^T``, ``[in, in]``; a factor changes nothing. Where its diagonal is 0 the
        input was always 0: these weights do nothing, and are set to 0 before anything else.
    choose : called for each run of columns, from the left, with the scores ``w_ij^2 / U_jj^2`` of the
        weights as they are by then; says which to remove.
    width : columns in a run.
    damping : what is added to the diagonal, as a share of its mean.
    factor : ``U``, if `etude.compress.hessian.inverse_factor` has been at work already.

    Examples
    --------
    >>> weight = torch.tensor([[1.0, 2.0]])
    >>> scan(weight, torch.tensor([[2.0, 1.0], [1.0, 2.0]]), lambda score: score < 3, damping=0.0)
    >>> weight  # half of the first input is known from the second
    tensor([[0.0000, 2.5000]])
    """
    if factor is None:
        factor = inverse_factor(hessian, damping)
    # A column lies together in memory.
    columns = weight.T.to(factor.dtype, copy=True, memory_format=torch.contiguous_format)
    columns[hessian.diagonal() == 0] = 0
    _Scan(columns, factor, choose, width).runs(0, len(columns))
    weight.copy_(columns.T)


class _Scan:
    """The state of a scan; ``errors`` holds what each removed weight left to make up for, over ``U_jj``.

    Columns are halved again and again: the left half is done, what it left is passed on to the right
    half in one product, then that is done. Every column sees the same sums as one after the other would.
    """

    def __init__(self, columns: Tensor, factor: Tensor, choose: Choose, width: int) -> None:
        self.columns = columns
        self.errors = torch.empty_like(columns)
        self.factor = factor
        self.choose = choose
        self.width = width

    def runs(self, start: int, end: int) -> None:
        """Choose and remove in columns ``start`` to ``end``, which know of all before them."""
        if end - start > self.width:
            middle = start + self.width * (-(-(end - start) // self.width) // 2)
            self.runs(start, middle)
            self.pass_on(start, middle, end)
            self.runs(middle, end)
            return
        own, diagonal = self.columns[start:end], self.factor.diagonal()[start:end, None]
        removed = self.choose((own / diagonal).square_().T).T
        torch.div(removed, diagonal, out=self.errors[start:end])
        self.remove(start, end)
        own.masked_fill_(removed, 0)

    def remove(self, start: int, end: int) -> None:
        """Turn what was chosen in columns ``start`` to ``end`` into errors, each column's in the next."""
        if end - start > _LEAF:
            middle = (start + end) // 2
            self.remove(start, middle)
            self.pass_on(start, middle, end)
            self.remove(middle, end)
            return
        for i in range(start, end):
            if i > start:
                self.columns[i].addmv_(self.errors[start:i].T, self.factor[start:i, i], alpha=-1)
            self.errors[i].mul_(self.columns[i])

    def pass_on(self, start: int, middle: int, end: int) -> None:
        """Move columns ``middle`` to ``end`` to make up for the errors of those from ``start`` on."""
        step = self.factor[start:middle, middle:end]
        self.columns[middle:end].addmm_(step.T, self.errors[start:middle], alpha=-1)
