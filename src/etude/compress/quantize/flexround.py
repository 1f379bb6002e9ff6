"""FlexRound: learn a divisor for every weight, used in rounding only, and the step of the grid with it."""

from __future__ import annotations

from typing import Annotated, Literal

import annotated_types as at
from torch import Tensor

from etude.compress.quantize.grids import Range, split
from etude.compress.quantize.range_grid import best_of_grid
from etude.compress.quantize.reconstruction import Convolution, Reconstruction
from etude.compress.quantize.rounding import Division
from etude.errors import InputError
from etude.method import method
from etude.models.blocks import Linear


@method("flexround", task="quantize", paper="flexround", beside=("adaround",))
class FlexRound(Reconstruction):
    """Learn a divisor for every weight, used in rounding only, and the step of the grid with it.

    A weight becomes ``s1 * clamp(round(W / (s1 S2 s3)))``, where the step ``s1``, a divisor for every weight
    ``S2`` and one for every row ``s3`` (and for every input channel of a convolution, ``s4``) are trained as
    logarithms until the block computes as it did. Only ``s1`` multiplies back, so that plain uniform
    integers are stored, but a weight may move several steps from its nearest, and large weights more.

    Parameters
    ----------
    search : the range to begin with: "minmax", the extremes; "error", shrunk to where the rounding error is
        least; or "grid", the best of 100 widths with every zero point, as the authors have it for weights
        under 8-bit inputs: ``100 * 2^bits`` roundings of every weight.
    step : whether the step of the grid is learned.
    row : whether every row has a divisor of its own.
    divisors : rank of the divisors' logarithms, as in LRQ, which has fewer parameters to overfit with; 0
        for one of its own for every weight.

    Raises
    ------
    InputError : if a field is out of range, the group does not divide a layer's width, or the
        calibration does not fit the model.

    Examples
    --------
    >>> import etude
    >>> model, tokenizer = etude.models.load("nano-llama")
    >>> calibration = etude.data.calibration("novels", tokenizer, samples=8, length=128)
    >>> stored = FlexRound(bits=3, iterations=4).quantize(model, calibration)
    >>> stored["model.layers.0.mlp.up_proj"].codes.max()
    tensor(7, dtype=torch.uint8)

    References
    ----------
    Lee et al., "FlexRound: Learnable Rounding based on Element-wise Division for Post-Training
    Quantization", ICML 2023. arXiv:2306.00317. Lee et al., "LRQ", arXiv:2407.11534 (``divisors``).
    """

    lr: Annotated[float, at.Interval(gt=0, le=10)] = 3e-3
    search: Literal["minmax", "error", "grid"] = "minmax"  # type: ignore[assignment]
    step: bool = True
    row: bool = True
    divisors: Annotated[int, at.Ge(0)] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.convention == "gguf" and not self.symmetric:
            raise InputError(
                "convention", "gguf stores a minimum, which a learned step would move; use another"
            )

    def ranges(self, weight: Tensor) -> Range:
        """The ranges that a weight ``[out, in]`` begins with, each tensor ``[out or 1, groups, 1]``."""
        if self.search == "grid":
            return best_of_grid(self.grid, split(weight, self.group), self.norm)
        return super().ranges(weight)

    def rounding(self, layer: Linear) -> Division:
        """The divisors of a layer's weight, all of them 1 at first."""
        return Division(
            layer.weight,
            self.grid,
            self.group,
            self.ranges(layer.weight),
            step=self.step,
            row=self.row,
            kernel=layer.kernel if isinstance(layer, Convolution) else 1,
            rank=self.divisors,
        )
