"""GPTQ: round column by column, and let the columns that are left make up for the error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Annotated

import annotated_types as at
import torch
from torch import Tensor, nn

from etude.compress.hessian import inverse_factor
from etude.compress.quantize.grids import Grid, Range, split
from etude.compress.quantize.quantized import Quantized
from etude.compress.quantize.weights import WeightFormat
from etude.method import method
from etude.models.blocks import Feed, find_blocks, walk
from etude.models.stats import Gram


@method("gptq", task="quantize")
class Gptq(WeightFormat):
    """Round column by column, and let the columns that are left make up for the error.

    With ``H = sum_t x_t x_t^T`` over the calibration tokens and ``U`` the upper Cholesky factor of
    ``(H + d I)^-1``, each column ``i`` is rounded to ``q_i`` and every column ``j > i`` is moved by
    ``-(w_i - q_i) U_ij / U_ii``, which is the least-squares answer to the error. Any grid will do.

    Parameters
    ----------
    act_order : take the columns with the largest inputs first, while there are many left to answer.
    static_groups : fit the ranges of the groups before any column is moved. Under ``act_order`` the
        groups then stay consecutive columns; else the group of every column has to be stored.
    damping : share of the mean of H's diagonal that is added to it.
    block : columns whose updates of the columns beyond them are done together; only speed depends on it.
    feed : what the model is like in front of a layer when its input is measured: "linear" (everything
        before it quantised; one pass), "block" (earlier blocks quantised, its own as it was; two
        passes) or "dense" (nothing quantised; one pass).

    Raises
    ------
    InputError : if a field is out of range, the group does not divide a layer's width, or the
        calibration does not fit the model.

    Examples
    --------
    >>> import etude
    >>> model, tokenizer = etude.models.load("nano-llama")
    >>> calibration = etude.data.calibration("novels", tokenizer, samples=8, length=128)
    >>> stored = Gptq(bits=3, group=64).quantize(model, calibration)
    >>> stored["model.layers.0.self_attn.q_proj"].codes.max()
    tensor(7, dtype=torch.uint8)

    References
    ----------
    Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers",
    ICLR 2023, algorithm 1. arXiv:2210.17323.
    """

    act_order: bool = False
    static_groups: bool = False
    damping: Annotated[float, at.Interval(gt=0, le=10)] = 0.01
    block: Annotated[int, at.Ge(1)] = 128
    feed: Feed = "linear"

    def quantize(self, model: nn.Module, calibration: Mapping[str, Tensor]) -> dict[str, Quantized]:
        """Quantise ``model`` in place, block by block, with inputs measured over ``calibration``.

        Returns what is stored, by layer.
        """
        self.check(model)
        blocks, stored = find_blocks(model)[0], {}
        for block in walk(model, calibration, measure=Gram, feed=self.feed):
            for _, sharing in groupby(block.linears, key=lambda linear: id(linear.inputs)):
                linears = list(sharing)
                problem = Columns(linears[0].inputs.matrix(), self.damping, self.act_order)
                for linear in linears:
                    quantized = self.solve(linear.weight, problem)
                    stored[f"{blocks}.{block.index}.{linear.name}"] = self.put(linear, quantized)
        return stored

    def solve(self, weight: Tensor, problem: Columns) -> Quantized:
        """Quantise one weight ``[out, in]`` for the inputs of ``problem``."""
        grid, width = self.grid_of(weight), weight.shape[1]
        size = self.group if isinstance(self.group, int) else width
        columns = weight.T[problem.order].contiguous()  # a column lies together in memory
        columns[problem.dead] = 0
        static = self._static_ranges(columns, problem, grid)
        kind = (torch.arange(width) if static is None else problem.order) // size
        ranges, kinds = static or [], kind.tolist()
        for start, end in spans(width, size, self.block):
            errors = torch.empty(end - start, columns.shape[1])
            for i, error in enumerate(errors, start):
                if static is None and i % size == 0:
                    ranges.append(_flat(self.fit(columns[i : i + size].T.contiguous(), grid)))
                column = columns[i]
                rounded = grid.round(column, ranges[kinds[i]])
                torch.sub(column, rounded, out=error)
                column.copy_(rounded)
                columns[i + 1 : end].addr_(problem.answer[i, i + 1 : end], error, alpha=-1)
            columns[end:].addmm_(problem.answer[start:end, end:].T, errors, alpha=-1)
        return self._stored(columns[problem.back].T, grid, ranges, kind[problem.back])

    @property
    def fits_before(self) -> bool:
        """Whether ranges are fitted before any column is moved."""
        return self.static_groups or self.group == "tensor"

    def _static_ranges(self, columns: Tensor, problem: Columns, grid: Grid) -> list[Range] | None:
        if not self.fits_before:
            return None
        weight = columns[problem.back].T.contiguous()
        scale, zero = self.fit(split(weight, self.group), grid)
        rows, groups = len(weight), scale.shape[1]
        return [
            Range(_of_group(scale, g, rows), None if zero is None else _of_group(zero, g, rows))
            for g in range(groups)
        ]

    def _stored(self, weight: Tensor, grid: Grid, ranges: list[Range], kind: Tensor) -> Quantized:
        """The codes of a weight whose columns lie on the grid already, each in the range of its kind."""
        scale = torch.stack([within.scale for within in ranges], 1)
        zero = None
        if ranges[0].zero is not None:
            zero = torch.stack([within.zero for within in ranges if within.zero is not None], 1)
        within = Range(scale[:, kind], None if zero is None else zero[:, kind])
        codes = grid.encode(weight, within)
        if self.group == "tensor":
            scale, zero = scale[:1], None if zero is None else zero[:1]
        consecutive = bool((kind.diff() >= 0).all())
        return Quantized(grid, self.group, codes, scale, zero, None if consecutive else kind)


class Columns:
    """The order in which columns are rounded, and how the later ones answer for the earlier.

    Attributes
    ----------
    order, back : the columns in the order of rounding, and the way back, int64 ``[in]``.
    dead : which of them, in that order, never had an input that is not 0, bool ``[in]``.
    answer : ``U_ij / U_ii`` for the upper factor of the damped inverse Hessian in that order, ``[in, in]``.
    """

    def __init__(self, gram: Tensor, damping: float, act_order: bool) -> None:
        diagonal = gram.diagonal()
        self.order = torch.arange(len(gram))
        if act_order:
            self.order = torch.argsort(diagonal, descending=True, stable=True)
        self.back = torch.argsort(self.order)
        self.dead = (diagonal == 0)[self.order]
        factor = inverse_factor(gram[self.order][:, self.order], damping)
        self.answer = factor.div_(factor.diagonal().clone()[:, None])


def spans(width: int, group: int, block: int) -> Iterator[tuple[int, int]]:
    """Cut columns into blocks such that, where a group begins, all its columns have been moved.

    Blocks hold whole groups if they are long enough, and groups whole blocks if not.

    Examples
    --------
    >>> list(spans(288, group=96, block=128)), list(spans(8, group=8, block=5))
    ([(0, 96), (96, 192), (192, 288)], [(0, 5), (5, 8)])
    """
    span = group * max(1, block // group)
    for first in range(0, width, span):
        last = min(first + span, width)
        for start in range(first, last, block):
            yield start, min(start + block, last)


def _of_group(part: Tensor, group: int, rows: int) -> Tensor:
    """What one group of every row has, ``[rows]``, from ``[rows or 1, groups, 1]``."""
    return part[:, group, 0].expand(rows)


def _flat(within: Range) -> Range:
    """The range of one group of every row, as ``[rows]``."""
    return Range(within.scale.flatten(), None if within.zero is None else within.zero.flatten())
