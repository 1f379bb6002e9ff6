"""LSQ: train the weights and the steps that they are rounded with together."""

from __future__ import annotations

from typing import Annotated

import annotated_types as at
import torch
from torch import Tensor

from etude.compress.quantize.grids import Granularity, Integers, Range, split, stored
from etude.compress.quantize.quantized import Quantized
from etude.compress.quantize.reconstruction import Reconstruction
from etude.compress.quantize.rounding import in_groups
from etude.compress.quantize.straight_through import ends, lsq, straight_through
from etude.errors import InputError
from etude.method import method
from etude.models.blocks import Linear

SMALLEST = 2.0**-14
"""Of a step: it has to stay above 0, and float16 is exact from here on."""


@method("lsq", task="quantize")
class Lsq(Reconstruction):
    """Train the weights and the steps that they are rounded with together, rounding passed straight through.

    The gradient of a step is ``round(w / s) - w / s`` within the range and the end of the range beyond it,
    times ``1 / sqrt(n q)`` for ``n`` weights that share it and the highest level ``q``. The paper trains
    the whole network on its labels; here each block is trained to compute as it did, on little data and
    without labels.

    Raises
    ------
    InputError : if a field is out of range, ranges are not symmetric, the group does not divide a layer's
        width, or the calibration does not fit the model.

    Examples
    --------
    >>> import etude
    >>> model, tokenizer = etude.models.load("nano-llama")
    >>> calibration = etude.data.calibration("novels", tokenizer, samples=8, length=128)
    >>> stored = Lsq(bits=3, iterations=4).quantize(model, calibration)
    >>> stored["model.layers.0.mlp.up_proj"].codes.max()
    tensor(7, dtype=torch.uint8)

    References
    ----------
    Esser et al., "Learned Step Size Quantization", ICLR 2020. arXiv:1902.08153.
    """

    symmetric: bool = True
    lr: Annotated[float, at.Interval(gt=0, le=10)] = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.symmetric:
            raise InputError("symmetric", "the learned steps lie around 0; leave it true")

    def rounding(self, layer: Linear) -> LearnedSteps:
        """A layer's weight and steps, with the steps at twice the mean magnitude over ``sqrt(q)``."""
        groups = split(layer.weight, self.group)
        steps = 2 * groups.abs().mean(-1, keepdim=True) / ends(self.bits)[1] ** 0.5
        return LearnedSteps(layer.weight, self.grid, self.group, steps)


class LearnedSteps:
    """A weight that is learned with its steps; a `Rounding`.

    Parameters
    ----------
    weight : ``[out, in]``.
    grid : symmetric.
    by : which weights share a step.
    steps : to begin with, ``[out or 1, groups, 1]``.
    """

    def __init__(self, weight: Tensor, grid: Integers, by: Granularity, steps: Tensor) -> None:
        self.grid, self.by = grid, by
        self.ends = ends(grid.bits)
        self.latent = weight.clone().requires_grad_()
        self.steps = steps.clone().requires_grad_()
        self.factor = (self.ends[1] * weight.numel() / steps.numel()) ** -0.5

    def parameters(self) -> list[Tensor]:
        """The weights and the steps."""
        return [self.latent, self.steps]

    def weight(self) -> Tensor:
        """The quantised weight ``[out, in]``."""
        steps = straight_through(self.steps, self._stored())
        rounded = lsq(in_groups(self.latent, steps), steps, *self.ends, factor=self.factor)
        return rounded.reshape(self.latent.shape)

    def penalty(self, progress: float) -> None:
        """None: the weights are rounded all along."""

    @torch.no_grad()
    def quantized(self) -> Quantized:
        """What is stored."""
        return Quantized.nearest(self.latent.detach(), self.grid, self.by, Range(self._stored()))

    def _stored(self) -> Tensor:
        return stored(self.steps.detach().clamp(min=SMALLEST), self.grid.scales)
