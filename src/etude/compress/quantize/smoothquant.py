"""SmoothQuant: move what makes inputs hard to round into the weights, then round both to 8 bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import annotated_types as at
import torch
from torch import Tensor, nn

from etude.compress.quantize.activation_format import ActivationFormat
from etude.compress.quantize.activations import FirstCalls
from etude.compress.quantize.folding import Fold, find_folds
from etude.compress.quantize.quantized import Quantized
from etude.compress.quantize.weights import Bits, Group, WeightFormat
from etude.method import method
from etude.models.blocks import Block, block_linears, find_blocks, linears, walk
from etude.models.calibration import check_calibration
from etude.models.stats import Extremes

SMALLEST = 1e-5
"""Of a factor, as in the authors' code."""


@method("smoothquant", task="quantize")
class SmoothQuant(WeightFormat, ActivationFormat):
    """Move what makes inputs hard to round into the weights, then round both to 8 bits.

    Input ``j`` of the layers that read one norm is divided by ``s_j = max|X_j|^a / max|W_:j|^(1-a)``, the
    maxima being over the calibration tokens and over the weights of all these layers; the norm takes the
    division over, and the weights are multiplied: the model computes the same, before it is rounded.

    Parameters
    ----------
    alpha : how much of the difficulty goes to the weights: 0 none, 1 all. 0.5 suits most models, 0.8 those
        with large outliers.
    bits : of a weight, 2 to 8.
    group : consecutive inputs of a row that share a scale, "channel" for a whole row, "tensor" for all.
    symmetric : whether integers go without a zero point.

    Raises
    ------
    InputError : if a field is out of range, the group does not divide a layer's width, or the
        calibration does not fit the model.

    Examples
    --------
    >>> import etude
    >>> model, tokenizer = etude.models.load("nano-llama")
    >>> calibration = etude.data.calibration("novels", tokenizer, samples=8, length=128)
    >>> stored = SmoothQuant().quantize(model, calibration)
    >>> len(stored), len(etude.models.inputs.installed(model))
    (35, 35)

    References
    ----------
    Xiao et al., "SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language
    Models", ICML 2023, and the authors' code. arXiv:2211.10438.
    """

    alpha: Annotated[float, at.Interval(ge=0, le=1)] = 0.5
    bits: Bits = 8
    group: Group = "channel"
    symmetric: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_activations()

    def quantize(self, model: nn.Module, calibration: Mapping[str, Tensor]) -> dict[str, Quantized]:
        """Quantise ``model`` in place, with the inputs' maxima over ``calibration``.

        Returns what is stored of the weights, by layer.
        """
        self.check(model)
        check_calibration(model, calibration)
        self.smooth(model, calibration)
        with torch.no_grad():
            stored = {
                layer.name: self.put(layer, self.nearest(layer.weight)) for layer in block_linears(model)
            }
        self.round_inputs(model, calibration)
        return stored

    def smooth(self, model: nn.Module, calibration: Mapping[str, Tensor]) -> None:
        """Move factors from norms to the layers that read them; the model computes the same after."""
        calls = FirstCalls(calibration, tokens=1)
        folds: list[Fold] | None = None
        with torch.no_grad(), calls.of(find_blocks(model)[1]):
            for block in walk(model, calibration, measure=Extremes, feed="dense", chunk=calls.chunk):
                call = calls.take(block.module)
                folds = find_folds(block.module, call) if folds is None else folds
                for fold in folds:
                    if fold.source not in linears(block.module):
                        fold.apply(block.module, self.divisors(fold, block))

    def divisors(self, fold: Fold, block: Block) -> Tensor:
        """What each input of a group of layers is divided by, ``[in]``."""
        readers = [linear for linear in block.linears if linear.name in fold.consumers]
        weights = torch.cat([linear.weight for linear in readers]).abs().amax(0).clamp(min=SMALLEST)
        peak = readers[0].inputs.peak().clamp(min=SMALLEST)
        found: Tensor = (peak.pow(self.alpha) / weights.pow(1 - self.alpha)).clamp(min=SMALLEST)
        return found
