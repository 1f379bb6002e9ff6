"""ZQ-Local: distil block by block, training rounded weights until each block computes as it did."""

from __future__ import annotations

from typing import Annotated

import annotated_types as at
import torch
from torch import Tensor

from etude.compress.quantize.quantized import Quantized
from etude.compress.quantize.reconstruction import Rate, Reconstruction
from etude.compress.quantize.straight_through import straight_through
from etude.compress.quantize.weights import WeightFormat
from etude.method import method
from etude.models.blocks import Linear


@method("zq-local", task="quantize", paper="zeroquant-v2", beside=("zq-global", "gptq"))
class ZqLocal(Reconstruction):
    """Distil block by block: train the weights, as they are rounded, until each block computes as it did.

    ``E |f_l(X_l) - f^_l(X_l)|^2`` is made small over the weights of block ``l``, where ``X_l`` comes from the
    quantised blocks before it and the target from the model as it was. Rounding is passed straight through,
    and ranges follow the weights. One block lives at a time. One of the two distillations that
    ZeroQuant-V2 compares with rounding and GPTQ, with inputs as they are or rounded to 8 bits.

    Parameters
    ----------
    iterations : steps of the optimiser (Adam) for each block or layer; 0 to round to nearest.
    lr : learning rate; falls to 0 along a cosine. The paper searches it for every model.

    Raises
    ------
    InputError : if a field is out of range, the group does not divide a layer's width, or the
        calibration does not fit the model.

    Examples
    --------
    >>> import etude
    >>> model, tokenizer = etude.models.load("nano-llama")
    >>> calibration = etude.data.calibration("novels", tokenizer, samples=8, length=128)
    >>> stored = ZqLocal(bits=3, iterations=4).quantize(model, calibration)
    >>> stored["model.layers.0.mlp.up_proj"].codes.max()
    tensor(7, dtype=torch.uint8)

    References
    ----------
    Yao et al., "Exploring Post-training Quantization in LLMs from Comprehensive Study to Low Rank
    Compensation", AAAI 2024. arXiv:2303.08302. Yao et al., "ZeroQuant", NeurIPS 2022, layer-by-layer
    knowledge distillation. arXiv:2206.01861.
    """

    iterations: Annotated[int, at.Ge(0)] = 500
    lr: Rate = 1e-4

    def rounding(self, layer: Linear) -> Latent:
        """A layer's weight, to be trained."""
        return Latent(layer.weight, self)


class Latent:
    """A weight that is learned behind its rounding; a `Rounding`.

    Parameters
    ----------
    weight : ``[out, in]``.
    format : how it is rounded to nearest; ranges are fitted to what the weight is at the time.
    """

    def __init__(self, weight: Tensor, format: WeightFormat) -> None:
        self.latent = weight.clone().requires_grad_()
        self.format = format

    def parameters(self) -> list[Tensor]:
        """The weight."""
        return [self.latent]

    def weight(self) -> Tensor:
        """The quantised weight ``[out, in]``."""
        return straight_through(self.latent, self.format.round(self.latent.detach()))

    def penalty(self, progress: float) -> None:
        """None: the weight is rounded all along."""

    @torch.no_grad()
    def quantized(self) -> Quantized:
        """What is stored."""
        return self.format.nearest(self.latent.detach())
