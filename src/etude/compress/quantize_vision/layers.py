"""Layers that compute with rounded weights and rounded inputs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from etude.compress.quantize.straight_through import ends, lsq
from etude.compress.quantize_vision.weights import FLOOR, floored


class Activations(nn.Module):
    """LSQ for activations, between two learned shifts: ``lsq(x + before) + after``.

    Steps start at ``2 mean|x| / sqrt(largest code)``, or 4 times the mean where the input is not negative,
    from what comes through inside `starting`.

    Parameters
    ----------
    bits : 2 to 8.
    shape : of the steps, broadcasting against the input; ``(1,)`` for one step.
    signed : whether the input has two signs.
    shifts : how many features are shifted, the input's last; None for no shifts.
    """

    def __init__(
        self, bits: int, shape: tuple[int, ...] = (1,), *, signed: bool = True, shifts: int | None = None
    ) -> None:
        super().__init__()
        self.bits = bits
        self.low, self.high = ends(bits, signed=signed)
        self.signed = signed
        self.starts = False
        self.step = nn.Parameter(torch.ones(shape))
        self.before = None if shifts is None else nn.Parameter(torch.zeros(shifts))
        self.after = None if shifts is None else nn.Parameter(torch.zeros(shifts))

    def forward(self, x: Tensor) -> Tensor:
        """``x`` rounded, of the same shape."""
        x = x if self.before is None else x + self.before
        if self.starts:
            self._start(x)
        step = floored(self.step)
        step = step.view((1,) * (x.ndim - step.ndim) + tuple(step.shape))
        factor = (self.high * x.numel() / step.numel()) ** -0.5
        x = lsq(x, step, self.low, self.high, factor=factor)
        return x if self.after is None else x + self.after

    def _start(self, x: Tensor) -> None:
        sizes = x.detach().abs()
        shape = (1,) * (x.ndim - self.step.ndim) + tuple(self.step.shape)
        mean = sizes.sum_to_size(shape) * (self.step.numel() / x.numel())
        start = (2 if self.signed else 4) * mean.view_as(self.step) / self.high**0.5
        self.step.data.copy_(start.clamp_min(FLOOR))


@contextmanager
def starting(model: nn.Module) -> Iterator[None]:
    """Let the steps of all activations follow from what comes through inside this block."""
    found = [module for module in model.modules() if isinstance(module, Activations)]
    for module in found:
        module.starts = True
    try:
        with torch.no_grad():
            yield
    finally:
        for module in found:
            module.starts = False


class QuantLinear(nn.Module):
    """A linear layer of rounded weights and inputs.

    Parameters
    ----------
    weight : a module that gives the weight ``[out, in]``.
    inputs : rounds the input; None to leave it.
    bias : in full precision, or None.
    """

    def __init__(self, weight: nn.Module, inputs: nn.Module | None, bias: Tensor | None) -> None:
        super().__init__()
        self.weight = weight
        self.inputs = inputs
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """Outputs ``[..., out]`` of inputs ``[..., in]``."""
        return F.linear(x if self.inputs is None else self.inputs(x), self.weight(), self.bias)


class QuantConv(nn.Module):
    """A convolution of rounded weights and inputs.

    Parameters
    ----------
    weight : a module that gives the weight as a matrix ``[out, in / groups * height * width]``.
    inputs : rounds the input.
    conv : the layer in full precision.
    """

    def __init__(self, weight: nn.Module, inputs: nn.Module, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight = weight
        self.inputs = inputs
        self.bias = None if conv.bias is None else nn.Parameter(conv.bias.detach().clone())
        self.shape = tuple(conv.weight.shape[1:])
        self.how: dict[str, Any] = {
            "stride": conv.stride,
            "padding": conv.padding,
            "dilation": conv.dilation,
            "groups": conv.groups,
        }

    def forward(self, x: Tensor) -> Tensor:
        """Outputs ``[images, out, height, width]``."""
        weight = self.weight().view(-1, *self.shape)
        return F.conv2d(self.inputs(x), weight, self.bias, **self.how)


def matrix(layer: nn.Linear | nn.Conv2d) -> Tensor:
    """The weight of a layer, ``[out, everything else]``."""
    return layer.weight.detach().flatten(1)


def computing(model: nn.Module) -> dict[str, nn.Linear | nn.Conv2d]:
    """The full-precision linear and convolutional layers by name, in the order in which they were made."""
    return {name: m for name, m in model.named_modules() if isinstance(m, (nn.Linear, nn.Conv2d))}


def replace(model: nn.Module, name: str, module: nn.Module) -> None:
    """Put a module in the place of the one called ``name``."""
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)
