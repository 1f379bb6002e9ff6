"""LoRC: add the error of the quantised weights back, as a product of two thin matrices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Annotated, Literal

import annotated_types as at
import torch
from torch import Tensor, nn

from etude.compress.hessian import inverse_factor
from etude.compress.quantize.gptq import Gptq
from etude.compress.quantize.lowrank import compensate
from etude.compress.quantize.quantized import Quantized
from etude.compress.quantize.rtn import Rtn
from etude.compress.quantize.weights import Group, WeightFormat
from etude.errors import InputError
from etude.method import method
from etude.models.blocks import block_linears, find_blocks, walk
from etude.models.calibration import check_calibration
from etude.models.stats import Gram


@method("lorc", task="quantize", paper="zeroquant-v2", beside=("gptq",))
class Lorc(WeightFormat):
    """Add the error of the quantised weights back, as a product of two thin matrices.

    Of the error ``E = W - Q(W) = U S V^T`` of every layer the first ``rank`` terms are kept, split evenly:
    the layer computes with ``Q(W) + (U_m S_m^(1/2)) (S_m^(1/2) V_m^T)``. Needs no data of its own and
    goes with any quantiser: the others have the field ``rank`` too, this is that part as the paper uses it.

    With ``least="outputs"`` it is ``E R`` whose terms are kept, ``R R^T`` being the second moments of the
    layer's inputs over calibration text: an extension that is not in the paper.

    Parameters
    ----------
    base : what the weights are quantised by: "rtn" or "gptq".
    group : consecutive inputs of a row that share a scale, "channel" for a whole row, "tensor" for all.
    rank : of the product; the paper takes 8 for widths of thousands. 0 leaves the base as it is.
    least : what the product leaves least of: the error of "weights" or, with calibration text, of "outputs".
    damping : for "outputs", what is added to second moments, in shares of their mean.

    Raises
    ------
    InputError : if a field is out of range, the group does not divide a layer's width, or (for "gptq" and
        "outputs") the calibration does not fit the model.

    Examples
    --------
    >>> import etude
    >>> model, tokenizer = etude.models.load("nano-llama")
    >>> calibration = etude.data.calibration("novels", tokenizer, samples=8, length=128)
    >>> stored = Lorc(bits=2).quantize(model, calibration)
    >>> stored["model.layers.0.mlp.up_proj"].low_rank.left.shape
    torch.Size([512, 8])

    References
    ----------
    Yao et al., "Exploring Post-training Quantization in LLMs from Comprehensive Study to Low Rank
    Compensation", AAAI 2024, sec. 5. arXiv:2303.08302.
    """

    base: Literal["rtn", "gptq"] = "rtn"
    group: Group = "channel"
    rank: Annotated[int, at.Ge(0)] = 8
    least: Literal["weights", "outputs"] = "weights"
    damping: Annotated[float, at.Interval(gt=0, le=10)] = 0.01

    def quantize(
        self, model: nn.Module, calibration: Mapping[str, Tensor] | None = None
    ) -> dict[str, Quantized]:
        """Quantise ``model`` in place; only base "gptq" and the least of "outputs" use ``calibration``.

        Returns what is stored, by layer.
        """
        if calibration is None and (self.base == "gptq" or self.least == "outputs"):
            raise InputError("calibration", f"base {self.base} for the least of {self.least} needs text")
        if calibration is None or self.least == "weights" or not self.rank:
            return self._by_base(model, calibration, self.rank)
        self.check(model)
        check_calibration(model, calibration)
        dense = {linear.name: linear.weight.clone() for linear in block_linears(model)}
        stored, name = self._by_base(model, calibration, rank=0), find_blocks(model)[0]
        with torch.no_grad():
            for block in walk(model, calibration, measure=Gram, feed="linear"):
                inputs = inverse_factor(block.linears[0].inputs.matrix(), self.damping)
                for linear in block.linears:
                    layer = f"{name}.{block.index}.{linear.name}"
                    error = dense.pop(layer) - stored[layer].base()
                    product = compensate(error, self.rank, self.factors, inputs=inputs)
                    stored[layer] = replace(stored[layer], low_rank=product)
                    linear.weight.copy_(stored[layer].weight())
        return stored

    def _by_base(
        self, model: nn.Module, calibration: Mapping[str, Tensor] | None, rank: int
    ) -> dict[str, Quantized]:
        shared = {field.name: getattr(self, field.name) for field in fields(WeightFormat)} | {"rank": rank}
        if self.base == "rtn":
            return Rtn(**shared).quantize(model)
        assert calibration is not None
        return Gptq(**shared).quantize(model, calibration)
