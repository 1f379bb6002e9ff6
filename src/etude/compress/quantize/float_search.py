"""LLM-FP4's search of a layer: the formats and exponent biases under which its output errs least.

A bias is a real number here and takes the place of a scale: the magnitudes of ``ExMy`` under the bias ``b``
are ``2^-b`` times those under a bias of 0. Ranges are kept as scales, ``2^(d - b)`` for a format whose own
bias is ``d``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from etude.compress.quantize.activation_format import float_numbers
from etude.compress.quantize.grids import Floats, Range, Scales, stored
from etude.compress.quantize.searches import least_points
from etude.models.inputs import InputRounding

GENTLEST, HARSHEST, STEPS = 0.01, 1.2, 100
"""Factors of the bias that are tried: from the one end up to, but not including, the other."""


@dataclass(frozen=True)
class Choice:
    """A format and its range.

    Attributes
    ----------
    grid : the format.
    scale : of each row of a weight ``[out, 1]``; of inputs one number, or one for each feature ``[in]``.
    shift : by how many powers of two each feature is magnified before it is rounded, int64 ``[in]``; None
        where all share a range.
    error : of the layer's output.
    """

    grid: Floats
    scale: Tensor
    shift: Tensor | None = None
    error: float = torch.inf


def formats(bits: int, scales: Scales = "float32") -> list[Floats]:
    """The formats of so many bits that are tried: 1 to 5 exponent bits, all codes finite.

    Examples
    --------
    >>> [grid.name for grid in formats(4)]
    ['e1m2', 'e2m1', 'e3m0']
    """
    widths = range(1, min(5, bits - 1) + 1)
    return [
        Floats(exponent=width, mantissa=bits - 1 - width, specials="none", scales=scales) for width in widths
    ]


def bias_of(grid: Floats, peak: Tensor) -> Tensor:
    """The bias that puts the largest magnitude of a format on ``peak``; infinite for a peak of 0.

    ``2^E - log2(peak) + log2(2 - 2^-M) - 1``.

    Examples
    --------
    >>> bias_of(Floats.named("e2m1"), torch.tensor([6.0, 12.0]))
    tensor([1., 0.])
    """
    return grid.exponent_bias - torch.log2(peak / grid.largest)


def scale_of(grid: Floats, bias: Tensor) -> Tensor:
    """The scale of a format under a bias."""
    return torch.exp2(grid.exponent_bias - bias)


def preshifts(grid: Floats, biases: Tensor, least: Tensor) -> Tensor:
    """How much larger the bias of each feature is than the tensor's, in whole steps that the exponent has.

    ``clamp(round(b_j), round(r), round(r) + 2^E - 1) - round(r)`` for the tensor's bias ``r``.

    Examples
    --------
    >>> preshifts(Floats.named("e2m1"), torch.tensor([1.0, 2.4, 9.0]), torch.tensor(1.2))
    tensor([0, 1, 3])
    """
    base = least.round()
    return (biases.round().clamp(base, base + 2**grid.exponent - 1) - base).long()


@dataclass(frozen=True)
class FloatSearch:
    """The joint search for one layer, or for several that read one input, stacked.

    Parameters
    ----------
    weight : ``[out, in]``.
    x : some of the inputs, ``[tokens, in]``.
    peak : the largest magnitude of each feature over all inputs, ``[in]``.
    weight_formats, input_formats : that are tried; no format of inputs leaves them as they are.
    shifted : whether features have a bias of their own, whole steps above the tensor's.
    stride : every stride-th factor is tried first, then those around the best.
    """

    weight: Tensor
    x: Tensor
    peak: Tensor
    weight_formats: Sequence[Floats]
    input_formats: Sequence[Floats]
    shifted: bool
    stride: int

    def run(self, rounds: int) -> tuple[Choice, Choice | None]:
        """What is chosen of the weights and of the inputs, after so many rounds.

        A round searches the biases of the weights in each format with the inputs rounded as chosen so far,
        then those of the inputs with the weights rounded so, and only then takes the best formats.
        """
        peak = above_zero(self.peak.max())
        inputs = {grid: self.input_choice(grid, bias_of(grid, peak)) for grid in self.input_formats}
        weight, given = middle(self.weight_formats), middle(self.input_formats) if inputs else None
        for _ in range(rounds):
            x = self.x if given is None else self.rounded_inputs(inputs[given])
            weights = {grid: self.best_weight(grid, x) for grid in self.weight_formats}
            rounded = self.rounded_weight(weights[weight])
            inputs = {grid: self.best_inputs(grid, rounded) for grid in inputs}
            weight = min(weights, key=lambda grid: weights[grid].error)
            given = min(inputs, key=lambda grid: inputs[grid].error) if inputs else None
        return weights[weight], None if given is None else inputs[given]

    def under(self, back: Tensor) -> FloatSearch:
        """The same layer with its inputs divided by ``back``, ``[in]``, and its weights multiplied."""
        return replace(self, weight=self.weight * back, x=self.x / back, peak=self.peak / back)

    def best_format(self, x: Tensor) -> Choice:
        """What is chosen of the weights, given rounded inputs ``[tokens, in]``."""
        found = [self.best_weight(grid, x) for grid in self.weight_formats]
        return min(found, key=lambda choice: choice.error)

    def best_weight(self, grid: Floats, x: Tensor) -> Choice:
        """The bias of each row under which the output errs least, given rounded inputs ``[tokens, in]``."""
        start = bias_of(grid, above_zero(self.weight.abs().amax(1, keepdim=True)))
        target = self.x @ self.weight.T
        gram, cross = x.T @ x, (x.T @ target).T
        constant = target.square().sum(0)
        factors, one = candidates()

        def loss(point: Tensor) -> Tensor:
            choice = self.weight_choice(grid, scaled(start, factors[point][:, None]))
            rounded = self.rounded_weight(choice)
            return ((rounded @ gram - 2 * cross) * rounded).sum(1) + constant

        point, error = least_points(loss, len(start), len(factors), stride=self.stride, first=one)
        bias = scaled(start, factors[point][:, None])
        return Choice(grid, self.weight_choice(grid, bias).scale, error=float(error.sum()))

    def best_inputs(self, grid: Floats, weight: Tensor) -> Choice:
        """The tensor's bias under which the output errs least, given a rounded weight ``[out, in]``."""
        start = bias_of(grid, above_zero(self.peak.max()))
        target = self.x @ self.weight.T
        gram, cross = weight.T @ weight, target @ weight
        factors, one = candidates()

        def loss(point: Tensor) -> Tensor:
            choice = self.input_choice(grid, scaled(start, factors[point[0]]))
            x = self.rounded_inputs(choice)
            return ((x @ gram - 2 * cross) * x).sum()[None] + target.square().sum()

        point, error = least_points(loss, 1, len(factors), stride=self.stride, first=one)
        found = self.input_choice(grid, scaled(start, factors[point[0]]))
        return Choice(grid, found.scale, found.shift, float(error))

    def weight_choice(self, grid: Floats, bias: Tensor) -> Choice:
        """A format of the weights under the biases of its rows, ``[out, 1]``."""
        return Choice(grid, stored(scale_of(grid, bias), grid.scales))

    def input_choice(self, grid: Floats, bias: Tensor) -> Choice:
        """A format of the inputs under the tensor's bias."""
        scale = scale_of(grid, bias)
        if not self.shifted:
            return Choice(grid, scale)
        shift = preshifts(grid, bias_of(grid, self.peak), bias)
        return Choice(grid, scale.expand(len(shift)).ldexp(-shift), shift)

    def rounded_weight(self, choice: Choice) -> Tensor:
        """The weight as chosen, ``[out, in]``."""
        return choice.grid.round(self.weight, Range(choice.scale))

    def rounded_inputs(self, choice: Choice) -> Tensor:
        """The inputs as chosen, ``[tokens, in]``."""
        return float_numbers(choice.grid).round(self.x, choice.scale, None)


def middle(formats: Sequence[Floats]) -> Floats:
    """The format that a search begins with: half of the bits, the sign's with them, are exponent."""
    return min(formats, key=lambda grid: abs(grid.exponent - grid.bits // 2))


def candidates() -> tuple[Tensor, int]:
    """The factors of the bias that are tried, ascending, and where among them 1 is.

    The authors' grid steps over 1, at which nothing is clipped: here it is one more candidate.
    """
    steps = GENTLEST + torch.arange(STEPS) * ((HARSHEST - GENTLEST) / STEPS)
    factors = torch.cat([steps, torch.ones(1)]).sort().values
    return factors, int((factors == 1).nonzero()[0])


def scaled(bias: Tensor, factor: Tensor) -> Tensor:
    """A bias times a factor; below 1, where that would go the wrong way or nowhere, as far as 1 goes.

    Examples
    --------
    >>> scaled(torch.tensor([4.0, -2.0, 0.0]), torch.tensor(0.75))
    tensor([ 3.0000, -2.5000, -0.2500])
    """
    return bias + (factor - 1) * bias.abs().clamp(min=1)


def rounding(choice: Choice) -> InputRounding:
    """What is put in front of a layer for a choice of its inputs."""
    return InputRounding(float_numbers(choice.grid), "tensor", choice.scale)


def above_zero(peak: Tensor) -> Tensor:
    """A peak; 1 where there is none."""
    return torch.where(peak > 0, peak, 1.0)
