"""What an accelerator may ask of a layer: bits, granularity, symmetry."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from etude.errors import InputError

BITS = (2, 3, 4, 5, 6, 7, 8)
"""The widths that a layer can have."""
Granularity = Literal["channel", "tensor"]

_NAME = re.compile(r"w([2-8])a([2-8])-(channel|tensor)-(sym|asym)(?:-(sym|asym))?")


@dataclass(frozen=True, kw_only=True)
class Format:
    """How a layer rounds.

    Parameters
    ----------
    bits, activation_bits : of weights and of activations, 2 to 8.
    granularity : of weights: a range for each output "channel", or one for the "tensor". Activations have
        one range in any case.
    symmetric, activation_symmetric : whether ranges have no offset.

    Examples
    --------
    >>> Format(bits=3, activation_bits=4, activation_symmetric=False).name
    'w3a4-channel-sym-asym'
    >>> Format.named("w2a2-tensor-asym") == Format.named("w2a2-tensor-asym-asym")
    True
    """

    bits: int = 8
    activation_bits: int = 8
    granularity: Granularity = "channel"
    symmetric: bool = True
    activation_symmetric: bool = True

    @classmethod
    def named(cls, name: str) -> Format:
        """The format of a name; without a fifth part, activations are as symmetric as weights.

        Raises
        ------
        InputError : if there is no such format.
        """
        found = _NAME.fullmatch(name)
        if found is None:
            raise InputError(
                "formats", f"{name!r} is no format, as w3a4-channel-sym or w2a2-tensor-asym-sym is"
            )
        bits, activation_bits, granularity, weights, activations = found.groups()
        return cls(
            bits=int(bits),
            activation_bits=int(activation_bits),
            granularity=granularity,  # type: ignore[arg-type]
            symmetric=weights == "sym",
            activation_symmetric=(activations or weights) == "sym",
        )

    @property
    def name(self) -> str:
        """Short: bits of weights and activations, granularity, symmetry of weights and of activations."""
        first, second = ("sym" if yes else "asym" for yes in (self.symmetric, self.activation_symmetric))
        ending = first if first == second else f"{first}-{second}"
        return f"w{self.bits}a{self.activation_bits}-{self.granularity}-{ending}"
