"""AdaRound: learn for every weight whether it is rounded up or down."""

from __future__ import annotations

from typing import Annotated, Literal

import annotated_types as at

from etude.compress.quantize.reconstruction import Reconstruction
from etude.compress.quantize.rounding import UpOrDown
from etude.method import method
from etude.models.blocks import Linear


@method("adaround", task="quantize")
class AdaRound(Reconstruction):
    """Learn for every weight whether it is rounded up or down, so that each layer computes as it did.

    A weight becomes ``s * clamp(floor(W / s) + h(V))``: ``h``, between 0 and 1, is trained, and a penalty
    drives it to one of the two. The step ``s`` stays as it is.

    Parameters
    ----------
    strength : of the penalty ``sum(1 - |2h - 1|^b)``.
    warm_up : share of the iterations without it.
    step : whether the step is learned too, as what multiplies back; not in the paper.

    Raises
    ------
    InputError : if a field is out of range, the group does not divide a layer's width, or the
        calibration does not fit the model.

    Examples
    --------
    >>> import etude
    >>> model, tokenizer = etude.models.load("nano-llama")
    >>> calibration = etude.data.calibration("novels", tokenizer, samples=8, length=128)
    >>> stored = AdaRound(bits=3, iterations=4).quantize(model, calibration)
    >>> stored["model.layers.0.mlp.up_proj"].codes.max()
    tensor(7, dtype=torch.uint8)

    References
    ----------
    Nagel et al., "Up or Down? Adaptive Rounding for Post-Training Quantization", ICML 2020.
    arXiv:2004.10568.
    """

    iterations: Annotated[int, at.Ge(0)] = 10_000
    unit: Literal["block", "layer"] = "layer"
    strength: Annotated[float, at.Ge(0)] = 0.01
    warm_up: Annotated[float, at.Interval(ge=0, lt=1)] = 0.2
    step: bool = False

    def rounding(self, layer: Linear) -> UpOrDown:
        """The choice for each weight of a layer, undecided as far as its fraction says at first."""
        return UpOrDown(
            layer.weight,
            self.grid,
            self.group,
            self.ranges(layer.weight),
            strength=self.strength,
            warm_up=self.warm_up,
            step=self.step,
        )
