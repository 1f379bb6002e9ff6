"""Salient channels kept: round to nearest, but for the few input channels that matter most."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Annotated, Literal

import annotated_types as at
import torch
from torch import Tensor, nn

from etude.compress.quantize.activations import Activations
from etude.compress.quantize.lowrank import LowRank
from etude.compress.quantize.quantized import Quantized
from etude.compress.quantize.weights import WeightFormat
from etude.method import method
from etude.models.blocks import Linear, find_blocks, walk


@method("salient", task="quantize")
class Salient(WeightFormat):
    """Round to nearest, but keep the few input channels of each layer that matter most in half precision.

    What AWQ's authors begin with: which channels have to be kept is told by the activations that they meet,
    not by the weights. What rounding took from the kept columns is added again, as a product of it and of
    the columns' unit vectors; hardware does not like it, which is why AWQ scales them instead.

    Parameters
    ----------
    keep : share of the channels that is kept, rounded up.
    by : what tells them: the mean magnitude of their "activation", the norm of their "weight", or a
        "random" draw.

    Raises
    ------
    InputError : if a field is out of range, the group does not divide a layer's width, or the
        calibration does not fit the model.

    Examples
    --------
    >>> import etude
    >>> model, tokenizer = etude.models.load("nano-llama")
    >>> calibration = etude.data.calibration("novels", tokenizer, samples=8, length=128)
    >>> stored = Salient(bits=3, group=64).quantize(model, calibration)
    >>> stored["model.layers.0.mlp.up_proj"].low_rank.rank
    3

    References
    ----------
    Lin et al., "AWQ: Activation-aware Weight Quantization for LLM Compression and Acceleration", MLSys
    2024, table 1. arXiv:2306.00978.
    """

    keep: Annotated[float, at.Interval(ge=0, le=1)] = 0.01
    by: Literal["activation", "weight", "random"] = "activation"

    def quantize(self, model: nn.Module, calibration: Mapping[str, Tensor]) -> dict[str, Quantized]:
        """Quantise ``model`` in place, with inputs measured over ``calibration`` in the model as it was.

        Returns what is stored, by layer.
        """
        self.check(model)
        name, stored = find_blocks(model)[0], {}
        for block in walk(model, calibration, measure=_magnitudes, feed="dense"):
            for linear in block.linears:
                stored[f"{name}.{block.index}.{linear.name}"] = self.put(linear, self.kept(linear))
        return stored

    def kept(self, linear: Linear) -> Quantized:
        """A layer's weight rounded, with what that took from the salient columns."""
        rounded, width = self.nearest(linear.weight), linear.weight.shape[1]
        salient = self.saliency(linear).topk(math.ceil(self.keep * width)).indices
        lost = (linear.weight - rounded.base())[:, salient].half().float()
        where = torch.zeros(len(salient), width)
        where[torch.arange(len(salient)), salient] = 1.0
        return dataclasses.replace(rounded, low_rank=LowRank(lost, where))

    def saliency(self, linear: Linear) -> Tensor:
        """How much each input channel of a layer matters, ``[in]``."""
        if self.by == "activation":
            found: Tensor = linear.inputs.magnitude()
            return found
        return linear.weight.norm(dim=0) if self.by == "weight" else torch.rand(linear.weight.shape[1])


def _magnitudes(features: int) -> Activations:
    return Activations(features, size=1)
