"""What methods are asked for that round the inputs of linear layers too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from etude.compress.quantize.grids import Floats
from etude.compress.quantize.weights import Bits
from etude.errors import InputError
from etude.models import inputs
from etude.models.blocks import block_linears, find_blocks, walk
from etude.models.inputs import InputRounding
from etude.models.numbers import Numbers
from etude.models.stats import Extremes


@dataclass(frozen=True, kw_only=True)
class ActivationFormat:
    """The fields of methods that round the inputs of linear layers.

    Parameters
    ----------
    activations : what the inputs of linear layers are rounded to: "int", or a floating-point format of as
        many bits, such as "e4m3"; "none" leaves them.
    activation_bits : of an input, 2 to 8.
    activation_symmetric : whether integers go without a zero point.
    activation_range : what shares a range: a "token", or all that comes at once, the "tensor", both fitted as
        they come; or "static", one range for all, fitted to the calibration text.
    """

    activations: str = "int"
    activation_bits: Bits = 8
    activation_symmetric: bool = True
    activation_range: Literal["token", "tensor", "static"] = "token"

    def check_activations(self) -> None:
        """Raise `InputError` if there is no such format, or it has another number of bits."""
        if self.activations in ("none", "int"):
            return
        try:
            bits = Floats.named(self.activations).bits
        except InputError as error:
            raise InputError("activations", error.message) from error
        if bits != self.activation_bits:
            raise InputError(
                "activation_bits", f"{self.activations} takes {bits}, not {self.activation_bits}"
            )

    @property
    def activation_numbers(self) -> Numbers:
        """What inputs are rounded to."""
        if self.activations == "int":
            return Numbers.whole(self.activation_bits, symmetric=self.activation_symmetric)
        return float_numbers(Floats.named(self.activations))

    def round_inputs(self, model: nn.Module, calibration: Mapping[str, Tensor] | None) -> None:
        """Let the linear layers of the blocks of ``model`` round their inputs, if asked for.

        A static range is that of the model as it is now, over ``calibration``.

        Raises
        ------
        InputError : if ranges are static and there is no calibration, or it does not fit the model.
        """
        if self.activations == "none":
            return
        numbers = self.activation_numbers
        name = find_blocks(model)[0]
        if self.activation_range != "static":
            layers = [layer.name for layer in block_linears(model)]
            inputs.install(model, {layer: InputRounding(numbers, self.activation_range) for layer in layers})
            return
        if calibration is None:
            raise InputError("calibration", "static ranges of inputs need calibration text")
        found = {}
        for block in walk(model, calibration, measure=Extremes, feed="dense"):
            for linear in block.linears:
                scale, zero = numbers.between(linear.inputs.low.min(), linear.inputs.high.max())
                found[f"{name}.{block.index}.{linear.name}"] = InputRounding(numbers, "tensor", scale, zero)
        inputs.install(model, found)


def float_numbers(grid: Floats) -> Numbers:
    """The numbers of a floating-point grid, under a scale of 1.

    Examples
    --------
    >>> float_numbers(Floats.named("e4m3"))
    Numbers(lowest=-448.0, largest=448.0, mantissa=3, bias=7)
    """
    return Numbers(
        lowest=-grid.largest, largest=grid.largest, mantissa=grid.mantissa, bias=grid.exponent_bias
    )
