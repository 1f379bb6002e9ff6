"""Layers that can round in every format: one latent weight, a learned range for each format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from etude.compress.quantize.straight_through import ends, lsq
from etude.compress.quantize_vision import layers
from etude.compress.quantize_vision.formats import BITS, Format
from etude.compress.quantize_vision.layers import QuantConv, QuantLinear, computing, matrix
from etude.compress.quantize_vision.ranges import least_error, summary
from etude.compress.quantize_vision.weights import Latent
from etude.errors import InputError

EPSILON = 1e-6
"""Added to every step, as in the authors' code."""


class Ranges(nn.Module):
    """Steps for every width, with and without an offset.

    Parameters
    ----------
    rows : that have a range of their own.

    Attributes
    ----------
    symmetric, step, offset : ``[rows, widths]``: steps of symmetric ranges; steps and offsets of the others.
    """

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.symmetric = nn.Parameter(torch.ones(rows, len(BITS)))
        self.step = nn.Parameter(torch.ones(rows, len(BITS)))
        self.offset = nn.Parameter(torch.zeros(rows, len(BITS)))

    def at(self, bits: int, symmetric: bool) -> tuple[Tensor, Tensor | None]:
        """Step and offset of a width, ``[rows, 1]``; no offset if symmetric."""
        column = slice(bits - BITS[0], bits - BITS[0] + 1)
        if symmetric:
            return self.symmetric[:, column] + EPSILON, None
        return self.step[:, column] + EPSILON, self.offset[:, column]

    @torch.no_grad()
    def search(self, rows: Tensor, *, signed: bool, tries: int, symmetric_tries: int) -> None:
        """Start from the ranges of ``rows`` in which least is lost."""
        for column, bits in enumerate(BITS):
            step, _ = least_error(rows, bits, symmetric=True, signed=signed, tries=symmetric_tries)
            self.symmetric[:, column] = step
            step, offset = least_error(rows, bits, symmetric=False, signed=signed, tries=tries)
            self.step[:, column], self.offset[:, column] = step, offset


class ElasticWeight(Latent):
    """A weight that is rounded in the format that is set.

    Parameters
    ----------
    weight : ``[rows, columns]``.
    """

    def __init__(self, weight: Tensor) -> None:
        nn.Module.__init__(self)
        self.weight = nn.Parameter(weight.detach().clone())
        self.channel = Ranges(len(weight))
        self.tensor = Ranges(1)
        self.format = Format()

    @property
    def bits(self) -> int:
        """Of the format that is set."""
        return self.format.bits

    def _range(self) -> tuple[Tensor, Tensor | None]:
        ranges = self.channel if self.format.granularity == "channel" else self.tensor
        return ranges.at(self.bits, self.format.symmetric)

    def forward(self) -> Tensor:
        """The rounded weight."""
        (step, offset), (low, high) = self._range(), ends(self.bits)
        if self.format.granularity == "channel":
            factor = 2 * (high * len(self.weight)) ** -0.5  # rows, not columns, as in the authors' code
        else:
            factor = (high * self.weight.numel()) ** -0.5
        return lsq(self.weight, step, low, high, offset=offset, factor=factor)

    @torch.no_grad()
    def codes(self) -> Tensor:
        """See `Latent.codes`."""
        (step, offset), (low, high) = self._range(), ends(self.bits)
        levels = self.weight / step if offset is None else (self.weight - offset) / step
        return levels.round().clamp_(low, high) - low

    @torch.no_grad()
    def line(self) -> tuple[Tensor, Tensor]:
        """See `Latent.line`."""
        (step, offset), (low, _) = self._range(), ends(self.bits)
        return step, step * low if offset is None else step * low + offset

    def search(self, tries: int) -> None:
        """Find the ranges that the weight's rounding starts from."""
        weight = self.weight.detach()
        self.channel.search(weight, signed=True, tries=tries, symmetric_tries=min(tries, 5))
        self.tensor.search(summary(weight), signed=True, tries=tries, symmetric_tries=tries)


class ElasticActivations(nn.Module):
    """Activations that are rounded in the format that is set; unsigned if none was negative at the start.

    Attributes
    ----------
    signed : whether codes are.
    elements : numbers that come through for one image.
    tries : above 0 while ranges are to follow from what comes through.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ranges = Ranges(1)
        self.register_buffer("signed", torch.tensor(True))
        self.format = Format()
        self.register_buffer("elements", torch.tensor(0))
        self.tries = 0

    def forward(self, x: Tensor) -> Tensor:
        """``x`` rounded."""
        if self.tries:
            self._start(x)
        low, high = ends(self.format.activation_bits, signed=bool(self.signed))
        step, offset = self.ranges.at(self.format.activation_bits, self.format.activation_symmetric)
        shape = (1,) * x.ndim
        offset = None if offset is None else offset.view(shape)
        return lsq(x, step.view(shape), low, high, offset=offset, factor=(high * x.numel()) ** -0.5)

    def _start(self, x: Tensor) -> None:
        values = summary(x)
        self.signed.fill_(bool(values[0, 0] < -1e-9))  # type: ignore[operator]
        self.elements.fill_(x[0].numel())  # type: ignore[operator]
        signed = bool(self.signed)
        self.ranges.search(values, signed=signed, tries=self.tries, symmetric_tries=self.tries)


@dataclass(frozen=True)
class Layer:
    """The two elastic parts of a layer."""

    name: str
    weight: ElasticWeight
    inputs: ElasticActivations

    def set(self, form: Format) -> None:
        """Let both parts round in a format."""
        self.weight.format = self.inputs.format = form


@dataclass(frozen=True)
class Elastic:
    """The plan of a model that can be set to any format."""

    def apply(self, model: Any) -> None:
        """Replace every linear and convolutional layer of ``model``."""
        check(model)
        for name, layer in computing(model).items():
            weight, inputs = ElasticWeight(matrix(layer)), ElasticActivations()
            if isinstance(layer, nn.Conv2d):
                layers.replace(model, name, QuantConv(weight, inputs, layer))
            else:
                layers.replace(model, name, QuantLinear(weight, inputs, layer.bias))


def check(model: Any) -> None:
    """Raise `InputError` if ``model`` has too few layers for a first, a last and some between."""
    if not isinstance(model, nn.Module) or len(computing(model)) < 3:
        raise InputError("model", "has fewer than three linear or convolutional layers")


def elastic_layers(model: nn.Module) -> list[Layer]:
    """The elastic layers of a model, in the order in which they were made."""
    return [
        Layer(name, module.weight, module.inputs)
        for name, module in model.named_modules()
        if isinstance(module, (QuantLinear, QuantConv)) and isinstance(module.inputs, ElasticActivations)
        if isinstance(module.weight, ElasticWeight)
    ]


def configure(model: nn.Module, formats: Sequence[Format]) -> None:
    """Set each layer to its format; the first and the last have 8 bits whatever theirs says."""
    found = elastic_layers(model)
    for layer, form in zip(found, formats, strict=True):
        layer.set(form)
    for layer in (found[0], found[-1]):
        layer.set(replace(layer.weight.format, bits=8, activation_bits=8))


def uniform(model: nn.Module, form: Format) -> None:
    """Set all layers to one format."""
    configure(model, [form] * len(elastic_layers(model)))


def search_ranges(model: nn.Module, calibration: Tensor, tries: int = 80) -> None:
    """Find the ranges that training starts from, of weights and, by one forward pass, of activations.

    What a layer is calibrated on has gone through 8-bit layers.

    Parameters
    ----------
    model : its layers are elastic; set to 8 bits by this.
    calibration : inputs of the model.
    tries : ranges tried for each; 1 for the extremes.
    """
    uniform(model, Format())
    found = elastic_layers(model)
    for layer in found:
        layer.weight.search(tries)
    with torch.no_grad():
        for layer in found:
            layer.inputs.tries = tries
        try:
            model.eval()(calibration)
        finally:
            for layer in found:
                layer.inputs.tries = 0


def average_bits(model: nn.Module) -> tuple[float, float]:
    """Bits of weights, by their number, and of activations, by theirs, between the first and last layer."""
    inner = elastic_layers(model)[1:-1]
    weights = [layer.weight.weight.numel() for layer in inner]
    elements = [int(layer.inputs.elements) for layer in inner]  # type: ignore[arg-type]
    return (
        sum(layer.weight.bits * n for layer, n in zip(inner, weights, strict=True)) / sum(weights),
        sum(layer.inputs.format.activation_bits * n for layer, n in zip(inner, elements, strict=True))
        / sum(elements),
    )


KINDS = tuple(product(("channel", "tensor"), (True, False), (True, False)))
"""Granularity, symmetry of weights and symmetry of activations: all that a format has beside its bits."""
