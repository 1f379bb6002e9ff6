"""Which of its neighbours a number becomes: the nearest, one by lot, or one that is learned.

A learned rounding holds what is trained for one weight (`Rounding`). It gives the quantised weight as a
differentiable function of that, rounding itself being passed straight through, and in the end its codes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from etude.compress.quantize.grids import Granularity, Integers, Range, stored
from etude.compress.quantize.quantized import Quantized
from etude.compress.quantize.straight_through import lsq, straight_through

ZETA, GAMMA = 1.1, -0.1
"""How far AdaRound's sigmoid is stretched beyond 0 and 1, so that it reaches them."""


class Rounding(Protocol):
    """How one weight is rounded, as far as it can be learned."""

    def parameters(self) -> Sequence[Tensor]:
        """What is learned."""

    def weight(self) -> Tensor:
        """The quantised weight ``[out, in]``, differentiable in the parameters."""

    def penalty(self, progress: float) -> Tensor | None:
        """What is added to the loss at this share of the iterations, in [0, 1); None for nothing."""

    def quantized(self) -> Quantized:
        """What is stored, with everything that was soft made hard."""


def stochastic(x: Tensor) -> Tensor:
    """Each number rounded up with the probability of its fraction, else down: right on average.

    Examples
    --------
    >>> _ = torch.manual_seed(0)
    >>> bool((stochastic(torch.full((10_000,), 0.3)).mean() - 0.3).abs() < 0.02)
    True
    """
    return (x + torch.rand_like(x)).floor()


def in_groups(x: Tensor, scale: Tensor) -> Tensor:
    """A matrix ``[out, in]`` as ``[out, groups, size]``, against ``scale`` ``[out or 1, groups, 1]``."""
    return x.reshape(x.shape[0], scale.shape[1], -1)


class Steps:
    """A weight on an integer grid whose steps may be learned; what every learned rounding begins with.

    Parameters
    ----------
    weight : ``[out, in]``.
    grid, by, within : the grid, which weights share a range, and the ranges, ``[out or 1, groups, 1]``.
    learned : whether the steps are trained, as factors ``e^d`` of what they are now. They are rounded to
        their storage in the forward pass already, so that what is stored is what was trained.
    """

    def __init__(
        self, weight: Tensor, grid: Integers, by: Granularity, within: Range, *, learned: bool
    ) -> None:
        self.grid, self.by, self.shape = grid, by, weight.shape
        self.groups = in_groups(weight, within.scale)
        self.start, self.zero = within.scale, within.zero
        self.lowest, self.highest = grid.levels()[[0, -1]].tolist()
        self.log = torch.zeros_like(within.scale, requires_grad=learned)

    def parameters(self) -> list[Tensor]:
        """The logarithms of the factors, if they are learned."""
        return [self.log] if self.log.requires_grad else []

    def scale(self) -> Tensor:
        """The step of each group, ``[out or 1, groups, 1]``."""
        if not self.log.requires_grad:
            return self.start
        scale = self.start * self.log.exp()
        return straight_through(scale, stored(scale.detach(), self.grid.scales))

    def exact(self) -> Tensor:
        """Where between the levels each weight lies, ``[out, groups, size]``."""
        steps = self.groups / self.start
        return steps if self.zero is None else steps + self.zero

    def nearest(self, x: Tensor) -> Tensor:
        """``x`` in the place of the weights, ``[out, groups, size]``, rounded to nearest: ``[out, in]``.

        Differentiable in ``x`` and in what the steps are learned through.
        """
        zero = 0 if self.zero is None else self.zero
        rounded = lsq(x, self.scale(), self.lowest - zero, self.highest - zero, lenient=True)
        return rounded.reshape(self.shape)

    def value(self, level: Tensor, scale: Tensor) -> Tensor:
        """What levels stand for, ``[out, in]``; beyond the ends the end, without a gradient."""
        within = level.clamp(self.lowest, self.highest)
        return ((within if self.zero is None else within - self.zero) * scale).reshape(self.shape)

    def within(self) -> Range:
        """The ranges as they are stored."""
        return Range(self.scale().detach(), self.zero)

    def quantized(self, level: Tensor) -> Quantized:
        """What is stored of whole levels; beyond the ends the end."""
        within = level.detach().clamp(self.lowest, self.highest)
        codes = (within - self.lowest).to(torch.uint8).reshape(self.shape)
        zero = None if self.zero is None else self.zero[..., 0]
        return Quantized(self.grid, self.by, codes, self.scale().detach()[..., 0], zero)


class _Divided(torch.autograd.Function):
    """``x e^-d``, differentiable in ``d``; in one piece of memory where autograd would take four."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, logarithms: Tensor) -> Tensor:
        divided = logarithms.neg().exp_().mul_(x)
        ctx.save_for_backward(divided)
        return divided

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        (divided,) = ctx.saved_tensors
        return None, (gradients[0] * divided).neg_()


class Division:
    """FlexRound: every weight has a positive divisor of its own, which is used in rounding only.

    ``W' = s1 * clamp(round(W / (s1 S2 s3 s4)))``: the step ``s1`` is learned with the divisors and alone
    multiplies back, so that what is stored is a plain uniform grid. ``S2`` has an entry for every weight,
    ``s3`` for every row, ``s4`` for every input channel of a convolution. All are learned as logarithms,
    from 0. A weight may move several steps, and large ones move more: the gradient of a divisor is
    proportional to its weight.

    Parameters
    ----------
    weight, grid, by, within : as for `Steps`.
    step : whether ``s1`` is learned.
    row : whether there is an ``s3``.
    kernel : weights of one input channel, which lie together in a row: height times width of a
        convolution's kernel; 1 for linear layers, which have no ``s4``.
    rank : of ``log S2`` as a product plus a vector for the rows and one for the columns (LRQ); 0 for a
        number for every weight.

    References
    ----------
    Lee et al., "FlexRound: Learnable Rounding based on Element-wise Division for Post-Training
    Quantization", ICML 2023. arXiv:2306.00317. Lee et al., arXiv:2407.11534 (LRQ).
    """

    def __init__(
        self,
        weight: Tensor,
        grid: Integers,
        by: Granularity,
        within: Range,
        *,
        step: bool = True,
        row: bool = True,
        kernel: int = 1,
        rank: int = 0,
    ) -> None:
        self.steps = Steps(weight, grid, by, within, learned=step)
        rows, columns = weight.shape
        self.row = _learned(rows, 1) if row else None
        self.channel = _learned(1, columns // kernel, 1) if kernel > 1 else None
        self.low_rank = rank > 0
        self.each = [_learned(rows, columns)]
        if rank:
            bound = 1 / math.sqrt(columns)  # as the weights of a layer with so many inputs begin
            right = torch.empty(rank, columns).uniform_(-bound, bound).requires_grad_()
            self.each = [_learned(rows, rank), right, _learned(rows, 1), _learned(1, columns)]

    def parameters(self) -> list[Tensor]:
        """The logarithms of the step, of the weights' own divisors, of the rows' and the channels'."""
        others = [part for part in (self.row, self.channel) if part is not None]
        return [*self.steps.parameters(), *self.each, *others]

    def logarithms(self) -> Tensor:
        """Of the product of all divisors but the step, ``[out, in]``."""
        logs = self.each[0]
        if self.low_rank:
            left, right, row, column = self.each
            logs = left @ right + row + column
        if self.row is not None:
            logs = logs + self.row
        if self.channel is not None:
            logs = (logs.view(len(logs), self.channel.shape[1], -1) + self.channel).view_as(logs)
        return logs

    def divided(self) -> Tensor:
        """The weights over their divisors, all but the step, ``[out, groups, size]``."""
        logarithms = in_groups(self.logarithms(), self.steps.start)
        divided: Tensor = _Divided.apply(self.steps.groups, logarithms)  # type: ignore[no-untyped-call]
        return divided

    def weight(self) -> Tensor:
        """The quantised weight ``[out, in]``."""
        return self.steps.nearest(self.divided())

    def penalty(self, progress: float) -> None:
        """None: the weights are rounded all along."""

    @torch.no_grad()
    def quantized(self) -> Quantized:
        """What is stored."""
        steps = self.steps
        return Quantized.nearest(self.divided().reshape(steps.shape), steps.grid, steps.by, steps.within())


def _learned(*shape: int) -> Tensor:
    return torch.zeros(shape, requires_grad=True)


class UpOrDown:
    """AdaRound: every weight goes to one of its two neighbours, and which is learned.

    ``W' = s * clamp(floor(W / s) + h(V))`` with ``h(V) = clamp(1.2 sigmoid(V) - 0.1, 0, 1)``, at first the
    fraction that rounding would drop. A penalty ``strength * sum(1 - |2h - 1|^b)``, with ``b`` falling from
    20 to 2, drives every ``h`` to 0 or 1.

    Parameters
    ----------
    weight, grid, by, within : as for `Steps`.
    strength : of the penalty.
    warm_up : share of the iterations without it.
    step : whether what multiplies back is learned; the neighbours are those of the step at the start.

    References
    ----------
    Nagel et al., "Up or Down? Adaptive Rounding for Post-Training Quantization", ICML 2020.
    arXiv:2004.10568.
    """

    def __init__(
        self,
        weight: Tensor,
        grid: Integers,
        by: Granularity,
        within: Range,
        *,
        strength: float = 0.01,
        warm_up: float = 0.2,
        step: bool = False,
    ) -> None:
        self.steps = Steps(weight, grid, by, within, learned=step)
        self.strength, self.warm_up = strength, warm_up
        exact = self.steps.exact()
        self.floor = exact.floor()
        self.v = inverse_soft(exact - self.floor).requires_grad_()

    def parameters(self) -> list[Tensor]:
        """``V``, and the logarithm of the step."""
        return [self.v, *self.steps.parameters()]

    def weight(self) -> Tensor:
        """The weight ``[out, in]``, between its neighbours still."""
        return self.steps.value(self.floor + soft(self.v), self.steps.scale())

    def penalty(self, progress: float) -> Tensor | None:
        """How far the ``h`` are from being 0 or 1; None during the warm-up."""
        if progress < self.warm_up:
            return None
        exponent = 20 + (2 - 20) * (progress - self.warm_up) / (1 - self.warm_up)
        return self.strength * (1 - (2 * soft(self.v) - 1).abs().pow(exponent)).sum()

    @torch.no_grad()
    def quantized(self) -> Quantized:
        """What is stored: up where ``h > 1/2``."""
        return self.steps.quantized(self.floor + (self.v > 0))


def soft(v: Tensor) -> Tensor:
    """AdaRound's ``h(V)``: a sigmoid that reaches 0 and 1."""
    return (v.sigmoid() * (ZETA - GAMMA) + GAMMA).clamp(0, 1)


def inverse_soft(h: Tensor) -> Tensor:
    """The ``V`` for which ``h(V)`` is ``h``, in [0, 1].

    Examples
    --------
    >>> soft(inverse_soft(torch.tensor([0.0, 0.25, 1.0])))
    tensor([0.0000, 0.2500, 1.0000])
    """
    return -torch.log((ZETA - GAMMA) / (h - GAMMA) - 1)
