"""ZeroQuant-FP: FP4 weights, FP8 inputs, and scales that differ by powers of two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import annotated_types as at
import torch
from torch import Tensor, nn

from etude.compress.quantize.activation_format import ActivationFormat
from etude.compress.quantize.gptq import Gptq
from etude.compress.quantize.grids import Grid, Range, power_of_two, power_of_two_ratios, stored
from etude.compress.quantize.quantized import Quantized
from etude.errors import InputError
from etude.method import method


@method("zeroquant-fp", task="quantize", paper="zeroquant-fp", beside=("zeroquant", "gptq"))
class ZeroQuantFP(Gptq, ActivationFormat):
    """Round weights to FP4 inside GPTQ and the inputs of each token to FP8, and add the error back (LoRC).

    A weight is ``S_g`` times the nearest of ``0, ±0.5, ±1, ±1.5, ±2, ±3, ±4, ±6`` with
    ``S_g = max|W_g| / 6``; a token is rounded to E4M3 under its own scale ``max|x| / 448``. If the scales
    that meet in one sum differ by powers of two, a weight turns into FP8 by a shift of its exponent:

    - ``m1``: every scale becomes a power of two, ``2^ceil(log2 S)``, and nothing is clipped.
    - ``m2``: ``S_max / 2^ceil(log2(S_max / S_i))`` keeps the largest scale of a row (or matrix) as it is.
      The others shrink, so that the largest weight of a group may be clipped; ``ratio`` is the rounding.

    The constraint comes before GPTQ, whose columns then make up for what it costs. ``numbers="int"`` and
    ``activations="int"`` give the paper's integer mixtures.

    Parameters
    ----------
    group : consecutive inputs of a row that share a scale; the paper takes 256, for widths of thousands.
    numbers : "e2m1", another floating-point format of as many bits such as "e3m0", or "int".
    symmetric : whether integers go without a zero point.
    rank : rank of the product that is added to each quantised weight to make up for its error; 0 for none.
    activations : what the inputs of linear layers are rounded to: a floating-point format such as "e4m3" or
        "e5m2", "int", or "none".
    constraint : of the scales: "none", "m1" or "m2".
    ratio : how the exponent of m1 and m2 is rounded: "ceil" as the paper prints it, "floor", or "nearest".
    compute : which scales meet in one sum, for m2: those of a "row", or of the whole "matrix".

    Raises
    ------
    InputError : if a field is out of range, scales are constrained under a zero point, the group does not
        divide a layer's width, or the calibration does not fit the model.

    Examples
    --------
    >>> import etude
    >>> model, tokenizer = etude.models.load("nano-llama")
    >>> calibration = etude.data.calibration("novels", tokenizer, samples=8, length=128)
    >>> stored = ZeroQuantFP(group=64, constraint="m2").quantize(model, calibration)
    >>> scale = stored["model.layers.0.mlp.up_proj"].scale
    >>> shift = (scale.amax(1, keepdim=True) / scale).log2()
    >>> bool((shift == shift.round()).all())
    True

    References
    ----------
    Wu et al., "ZeroQuant-FP: A Leap Forward in LLMs Post-Training W4A8 Quantization Using
    Floating-Point Formats", NeurIPS ENLSP workshop 2023. arXiv:2307.09782.
    """

    numbers: str = "e2m1"
    symmetric: bool = True
    rank: Annotated[int, at.Ge(0)] = 8
    activations: str = "e4m3"
    constraint: Literal["none", "m1", "m2"] = "none"
    ratio: Literal["ceil", "floor", "nearest"] = "ceil"
    compute: Literal["row", "matrix"] = "row"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_activations()
        if self.constraint == "none":
            return
        if self.numbers == "int" and not self.symmetric:
            raise InputError(
                "constraint", f"{self.constraint} is for scales without zero points; set symmetric"
            )
        if self.numbers == "int" and self.convention == "gguf":
            raise InputError("constraint", f"{self.constraint} is for positive scales, which gguf has not")

    def quantize(self, model: nn.Module, calibration: Mapping[str, Tensor]) -> dict[str, Quantized]:
        """Quantise ``model`` in place, block by block, with inputs measured over ``calibration``.

        Returns what is stored of the weights, by layer.
        """
        found = super().quantize(model, calibration)
        self.round_inputs(model, calibration)
        return found

    def fit(self, groups: Tensor, grid: Grid | None = None) -> Range:
        """The range of each group, ``[rows, groups, size]``, all those of a matrix being given at once."""
        within = super().fit(groups, grid)
        if self.constraint == "m1":
            return Range(stored(power_of_two(within.scale, self.ratio), self.scales))
        if self.constraint == "m2":
            together = (0, 1) if self.compute == "matrix" else (1,)
            return Range(stored(power_of_two_ratios(within.scale, together, self.ratio), self.scales))
        return within

    @property
    def fits_before(self) -> bool:
        """Whether ranges are fitted before any column is moved: constrained ones must be known together."""
        return super().fits_before or self.constraint != "none"


def as_fp8(quantized: Quantized) -> tuple[Tensor, Tensor]:
    """FP4 weights as FP8 hardware takes them: E4M3 numbers, and one scale for each row.

    A code under the scale ``S_max / 2^k`` is ``2^-k`` times its level under ``S_max``: the exponent is
    shifted. E4M3 holds that exactly up to ``k = 8``.

    Parameters
    ----------
    quantized : E2M1 with scales that differ by powers of two within a row (m1, m2).

    Returns
    -------
    tuple : ``float8_e4m3fn [out, in]`` and float32 ``[out, 1]``, whose product is the weight.

    Raises
    ------
    InputError : if the scales of a row do not differ by powers of two, or by too much.

    Examples
    --------
    >>> from etude.compress.quantize.grids import Floats
    >>> codes = torch.tensor([[1, 7, 1, 7]], dtype=torch.uint8)
    >>> weight = Quantized(Floats.named("e2m1"), 2, codes, torch.tensor([[3.0, 0.75]]))
    >>> eight, scale = as_fp8(weight)
    >>> eight.float(), scale
    (tensor([[0.5000, 6.0000, 0.1250, 1.5000]]), tensor([[3.]]))
    """
    largest = quantized.scale.amax(1, keepdim=True)
    shifted = quantized.base() / largest
    eight = shifted.to(torch.float8_e4m3fn)
    if not torch.equal(eight.float() * largest, quantized.base()):
        raise InputError("constraint", "the scales of a row must differ by powers of two, by 2^8 at most")
    return eight, largest
