"""The model as it is: the row that every other is read against."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from etude.compress.quantize.quantized import Quantized
from etude.method import method


@method("full-precision", task="quantize")
class FullPrecision:
    """Quantise nothing.

    Examples
    --------
    >>> import etude
    >>> model, _ = etude.models.load("nano-llama")
    >>> FullPrecision().quantize(model)
    {}
    """

    def quantize(
        self, model: nn.Module, calibration: Mapping[str, Tensor] | None = None
    ) -> dict[str, Quantized]:
        """Leave ``model`` as it is; nothing is stored otherwise than before."""
        return {}
