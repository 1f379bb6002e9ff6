"""One format out of many: the model that an elastic one is at the moment, by itself."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from etude.compress.quantize.straight_through import ends
from etude.compress.quantize_vision import layers
from etude.compress.quantize_vision.elastic import Layer, elastic_layers
from etude.compress.quantize_vision.layers import QuantConv, QuantLinear, computing, matrix
from etude.compress.quantize_vision.outcome import Outcome
from etude.compress.quantize_vision.weights import Frozen


class FixedActivations(nn.Module):
    """Activations rounded in one range that no longer changes.

    Parameters
    ----------
    bits : 2 to 8.
    signed : whether codes are.
    """

    def __init__(self, bits: int, signed: bool) -> None:
        super().__init__()
        self.low, self.high = ends(bits, signed=signed)
        self.register_buffer("step", torch.ones(()))
        self.register_buffer("offset", torch.zeros(()))

    @classmethod
    @torch.no_grad()
    def of(cls, layer: Layer) -> FixedActivations:
        """What the inputs of an elastic layer are rounded to now."""
        inputs = layer.inputs
        bits, symmetric = inputs.format.activation_bits, inputs.format.activation_symmetric
        step, offset = inputs.ranges.at(bits, symmetric)
        found = cls(bits, bool(inputs.signed))
        offset = torch.zeros(()) if offset is None else offset[0, 0]
        found.load_state_dict({"step": step[0, 0], "offset": offset})
        return found

    def forward(self, x: Tensor) -> Tensor:
        """``x`` rounded."""
        codes = ((x - self.offset) / self.step).round_().clamp_(self.low, self.high)  # type: ignore[operator]
        return codes.mul_(self.step).add_(self.offset)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Fixed:
    """The plan of a model in which each layer has its own bits.

    Parameters
    ----------
    bits, activation_bits : of each layer, in the order in which they were made.
    ranges : of the weights of each layer: its outputs, or 1.
    signed : whether the inputs of each layer are.
    """

    bits: tuple[int, ...]
    activation_bits: tuple[int, ...]
    ranges: tuple[int, ...]
    signed: tuple[bool, ...]

    def apply(self, model: Any) -> None:
        """Replace every linear and convolutional layer of ``model``; its tensors are still to be loaded."""
        found = computing(model).items()
        each = zip(found, self.bits, self.activation_bits, self.ranges, self.signed, strict=True)
        for (name, layer), bits, activation_bits, ranges, signed in each:
            rows, columns = matrix(layer).shape
            weight = Frozen(rows, columns, bits, ranges)
            inputs = FixedActivations(activation_bits, signed)
            if isinstance(layer, nn.Conv2d):
                layers.replace(model, name, QuantConv(weight, inputs, layer))
            else:
                layers.replace(model, name, QuantLinear(weight, inputs, layer.bias))


def extract(model: nn.Module) -> tuple[nn.Module, Outcome]:
    """The sub-network that an elastic model is set to, as a model of its own that holds nothing else.

    Returns
    -------
    (model, outcome) : predicts what the elastic model predicts; the outcome is what saving it takes.
    """
    found = elastic_layers(model)
    frozen = [Frozen.of(layer.weight) for layer in found]
    plan = Fixed(
        bits=tuple(weight.bits for weight in frozen),
        activation_bits=tuple(layer.inputs.format.activation_bits for layer in found),
        ranges=tuple(len(weight.step) for weight in frozen),  # type: ignore[arg-type]
        signed=tuple(bool(layer.inputs.signed) for layer in found),
    )
    alone = copy.deepcopy(model)
    for layer, weight in zip(found, frozen, strict=True):
        module = alone.get_submodule(layer.name)
        module.weight, module.inputs = weight, FixedActivations.of(layer)
    return alone.eval(), Outcome(plan)
