"""LoRC: add the error of the quantised weights back, as a product of two thin matrices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import annotated_types as at
from torch import Tensor, nn

from etude.compress.quantize.gptq import Gptq
from etude.compress.quantize.quantized import Quantized
from etude.compress.quantize.rtn import Rtn
from etude.compress.quantize.weights import Group, WeightFormat
from etude.errors import InputError
from etude.method import method, parameters


@method("lorc", task="quantize", paper="zeroquant-v2", beside=("gptq",))
class Lorc(WeightFormat):
    """Add the error of the quantised weights back, as a product of two thin matrices.

    Of the error ``E = W - Q(W) = U S V^T`` of every layer the first ``rank`` terms are kept, split evenly:
    the layer computes with ``Q(W) + (U_m S_m^(1/2)) (S_m^(1/2) V_m^T)``. Needs no data of its own and
    goes with any quantiser: the others have the field ``rank`` too, this is that part as the paper uses it.

    Parameters
    ----------
    base : what the weights are quantised by: "rtn" or "gptq".
    group : consecutive inputs of a row that share a scale, "channel" for a whole row, "tensor" for all.
    rank : of the product; the paper takes 8 for widths of thousands. 0 leaves the base as it is.

    Raises
    ------
    InputError : if a field is out of range, the group does not divide a layer's width, or (for "gptq")
        the calibration does not fit the model.

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

    def quantize(
        self, model: nn.Module, calibration: Mapping[str, Tensor] | None = None
    ) -> dict[str, Quantized]:
        """Quantise ``model`` in place by the base; "rtn" does not use ``calibration``.

        Returns what is stored, by layer.
        """
        fields = {name: value for name, value in parameters(self).items() if name != "base"}
        if self.base == "rtn":
            return Rtn(**fields).quantize(model)
        if calibration is None:
            raise InputError("calibration", "base gptq needs calibration text")
        return Gptq(**fields).quantize(model, calibration)
