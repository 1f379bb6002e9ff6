"""ZeroQuant: weights by groups and inputs by tokens, rounded to nearest, together or one of them alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import Tensor, nn

from etude.compress.quantize.activation_format import ActivationFormat
from etude.compress.quantize.quantized import Quantized
from etude.compress.quantize.rtn import Rtn
from etude.compress.quantize.weights import Group
from etude.errors import InputError
from etude.method import method


@method("zeroquant", task="quantize", paper="zeroquant-v2")
class ZeroQuant(Rtn, ActivationFormat):
    """Round weights by groups and inputs by tokens to nearest: both, or one of them to see what it costs.

    What ZeroQuant-V2 studies how sensitive models are to; `etude sensitivity` runs it over bits and parts.
    The range of a token is fitted to it as it comes.

    Parameters
    ----------
    part : what is rounded: "weights", "activations" (the inputs of linear layers), or "both".
    group : consecutive inputs of a row that share a scale, "channel" for a whole row, "tensor" for all.
    symmetric : whether integers go without a zero point.

    Raises
    ------
    InputError : if a field is out of range, the group does not divide a layer's width, or (for static
        ranges) the calibration does not fit the model.

    Examples
    --------
    >>> import etude
    >>> model, _ = etude.models.load("nano-llama")
    >>> stored = ZeroQuant(bits=8, part="activations").quantize(model)
    >>> len(stored), len(etude.models.inputs.installed(model))
    (0, 35)

    References
    ----------
    Yao et al., "ZeroQuant: Efficient and Affordable Post-Training Quantization for Large-Scale
    Transformers", NeurIPS 2022. arXiv:2206.01861. Yao et al., arXiv:2303.08302 (the study).
    """

    part: Literal["both", "weights", "activations"] = "both"
    group: Group = "channel"
    symmetric: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_activations()
        if self.part != "weights" and self.activations == "none":
            raise InputError(
                "activations", f"none leaves nothing to do for part {self.part}; take part weights"
            )

    def quantize(
        self, model: nn.Module, calibration: Mapping[str, Tensor] | None = None
    ) -> dict[str, Quantized]:
        """Quantise ``model`` in place; only static ranges use ``calibration``.

        Returns what is stored of the weights, by layer.
        """
        self.check(model)
        stored = super().quantize(model) if self.part != "activations" else {}
        if self.part != "weights":
            self.round_inputs(model, calibration)
        return stored
