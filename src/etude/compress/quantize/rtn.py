"""Round to nearest: what every quantiser must beat."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from etude.compress.quantize.quantized import Quantized
from etude.compress.quantize.weights import WeightFormat
from etude.method import method
from etude.models.blocks import block_linears
from etude.progress import track


@method("rtn", task="quantize")
class Rtn(WeightFormat):
    """Round every weight to the nearest value that its bits can stand for; looks at no data.

    With ``group="channel", symmetric=True, convention="awq"`` this is how GLM-130B was stored in INT4
    and INT8.

    Raises
    ------
    InputError : if a field is out of range, or the group does not divide a layer's width.

    Examples
    --------
    >>> import etude
    >>> model, _ = etude.models.load("nano-llama")
    >>> stored = Rtn(bits=4, group=64).quantize(model)
    >>> weight = model.get_submodule("model.layers.0.mlp.up_proj").weight
    >>> len(stored), weight[0, :64].unique().numel() <= 16
    (35, True)

    References
    ----------
    Zeng et al., "GLM-130B: An Open Bilingual Pre-trained Model", ICLR 2023, sec. 4 (rows, symmetric).
    arXiv:2210.02414.
    """

    def quantize(
        self, model: nn.Module, calibration: Mapping[str, Tensor] | None = None
    ) -> dict[str, Quantized]:
        """Quantise ``model`` in place; ``calibration`` is not used. Returns what is stored, by layer."""
        self.check(model)
        return {
            linear.name: self.put(linear, self.nearest(linear.weight))
            for linear in track(block_linears(model), "layers")
        }
