"""The fields of methods that give all layers one format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from etude.compress.quantize_vision import elastic
from etude.compress.quantize_vision.formats import Format, Granularity
from etude.compress.quantize_vision.recipe import Bits


@dataclass(frozen=True, kw_only=True)
class Uniform:
    """One format for all layers between the first and the last, which have 8 bits.

    Parameters
    ----------
    bits : of a weight, 2 to 8.
    activation_bits : of an activation, 2 to 8.
    granularity : of weights: a range for each output "channel", or one for the "tensor".
    symmetric, activation_symmetric : whether ranges have no offset.
    """

    bits: Bits = 8
    activation_bits: Bits = 8
    granularity: Granularity = "channel"
    symmetric: bool = True
    activation_symmetric: bool = True

    @property
    def format(self) -> Format:
        """The format."""
        return Format(
            bits=self.bits,
            activation_bits=self.activation_bits,
            granularity=self.granularity,
            symmetric=self.symmetric,
            activation_symmetric=self.activation_symmetric,
        )

    def check(self, model: Any) -> None:
        """Raise `InputError` if ``model`` has too few layers."""
        elastic.check(model)
