"""What a model loses to weights, inputs, or both, of fewer bits: the study of ZeroQuant-V2."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from etude.compress.quantize.weights import Group

CLASSES = ((0.1, 1), (0.5, 2))
"""Largest loss of perplexity of classes 1 and 2; above them is class 3."""


@dataclass(frozen=True)
class Loss:
    """What one setting costs.

    Parameters
    ----------
    bits, activation_bits : of weights, and of the inputs of linear layers; None where they stay as they are.
    perplexity : on held-out text.
    lost : how much that is above the full model's.
    """

    bits: int | None
    activation_bits: int | None
    perplexity: float
    lost: float

    @property
    def kind(self) -> int:
        """The class of ZeroQuant-V2, 1 to 3.

        Examples
        --------
        >>> Loss(4, None, 39.6, lost=0.7).kind
        3
        """
        return next((kind for most, kind in CLASSES if self.lost <= most), 3)


def study(bits: Sequence[int], activation_bits: Sequence[int], group: Group = "channel") -> list[Any]:
    """The full model, weights alone, inputs alone, and every pair of both, rounded to nearest.

    References
    ----------
    Yao et al., "ZeroQuant-V2: Exploring Post-training Quantization in LLMs from Comprehensive Study to Low
    Rank Compensation", 2023. arXiv:2303.08302.

    Raises
    ------
    InputError : if a number of bits is out of range.
    """
    from etude.compress.quantize.full_precision import FullPrecision
    from etude.compress.quantize.zeroquant import ZeroQuant

    return [
        FullPrecision(),
        *(ZeroQuant(bits=b, part="weights", group=group) for b in bits),
        *(ZeroQuant(activation_bits=a, part="activations", group=group) for a in activation_bits),
        *(ZeroQuant(bits=b, activation_bits=a, group=group) for b in bits for a in activation_bits),
    ]


def losses(methods: Iterable[Any], perplexities: Iterable[float]) -> list[Loss]:
    """What each method of `study` costs, given its perplexity; the full model's comes first."""
    (_, full), *pairs = zip(methods, perplexities, strict=True)
    return [
        Loss(
            bits=None if method.part == "activations" else method.bits,
            activation_bits=None if method.part == "weights" else method.activation_bits,
            perplexity=perplexity,
            lost=perplexity - full,
        )
        for method, perplexity in pairs
    ]


def picture(found: Sequence[Loss], heading: str) -> bytes:
    """A PNG of the loss over the bits of weights, with a line for each number of bits of inputs."""
    from matplotlib.figure import Figure

    bits = sorted({each.bits for each in found if each.bits is not None}, reverse=True)
    places: dict[int | None, int] = {None: 0, **{number: place + 1 for place, number in enumerate(bits)}}
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for inputs in sorted({each.activation_bits for each in found}, key=lambda number: -(number or 99)):
        line = [each for each in found if each.activation_bits == inputs]
        line.sort(key=lambda each: places[each.bits])
        name = "inputs full" if inputs is None else f"inputs of {inputs} bits"
        axes.plot([places[each.bits] for each in line], [each.lost for each in line], "o-", label=name)
    for most, kind in CLASSES:
        axes.axhline(most, color="grey", linewidth=0.8, linestyle="--")
        axes.annotate(
            f"class {kind}", (0.01, most), xycoords=("axes fraction", "data"), va="top", color="grey"
        )
    axes.set_yscale("symlog", linthresh=0.1)
    axes.set_ylim(bottom=1.5 * min(-0.03, *(each.lost for each in found)))
    axes.set_xticks(list(places.values()), ["full", *map(str, bits)])
    axes.set(xlabel="bits of weights", ylabel="perplexity lost", title=heading)
    axes.legend(frameon=False)
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=150)
    return written.getvalue()
