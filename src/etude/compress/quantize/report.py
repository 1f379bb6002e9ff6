"""Which floating-point format, and which exponent bias, each layer of a quantised model has."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from etude.compress.quantize.grids import Floats
from etude.compress.quantize.quantized import Quantized
from etude.models import inputs
from etude.models.inputs import InputRounding
from etude.models.numbers import Numbers
from etude.task import REPORT

DIGITS = 3


def rows(model: nn.Module, stored: Mapping[str, Quantized]) -> list[dict[str, Any]]:
    """One row for each layer with weights in floating point, and for each operand of attention.

    ``bias`` and ``to`` are the least and the largest exponent bias of the weights' rows or groups, a scale
    ``s`` being ``2^-bias`` of the numbers under a bias of 0; ``input bias`` is that of the inputs (of the
    feature of largest range, where features differ), and ``shifts`` the most by which a feature's is larger.
    What is fitted to inputs as they come has none.

    Examples
    --------
    >>> import etude
    >>> from etude.compress.quantize import Rtn
    >>> model, _ = etude.models.load("nano-llama")
    >>> found = rows(model, Rtn(numbers="e2m1", group="channel").quantize(model))
    >>> len(found), found[0]["layer"], found[0]["weights"], found[0]["bias"] < found[0]["to"]
    (35, 'model.layers.0.self_attn.q_proj', 'e2m1', True)
    """
    roundings = inputs.installed(model)
    found = {
        name: _of_weights(layer.grid, layer.scale)
        for name, layer in stored.items()
        if isinstance(layer.grid, Floats)
    }
    operands = roundings.keys() - stored.keys() if found else set()
    names = [name for name, _ in model.named_modules() if name in found or name in operands]
    return [
        {"layer": name}
        | found.get(name, dict.fromkeys(("weights", "bias", "to")))
        | _of_inputs(roundings.get(name))
        for name in names
    ]


def write(model: nn.Module, stored: Mapping[str, Quantized], folder: Path) -> None:
    """Write the rows into an artifact's folder, for `etude run` to print; no file if there are none."""
    found = rows(model, stored)
    if found:
        (folder / REPORT).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _of_weights(grid: Floats, scale: Tensor) -> dict[str, Any]:
    return {
        "weights": grid.name,
        "bias": _bias(grid.exponent_bias, float(scale.abs().max())),
        "to": _bias(grid.exponent_bias, float(scale.abs().min())),
    }


def _of_inputs(rounding: InputRounding | None) -> dict[str, Any]:
    if rounding is None:
        return dict.fromkeys(("inputs", "input bias", "shifts"))
    bias = shifts = None
    if rounding.scale is not None and rounding.numbers.mantissa is not None:
        bias = _bias(rounding.numbers.bias, float(rounding.scale.max()))
        shifts = round(math.log2(float(rounding.scale.max() / rounding.scale.min())))
    return {"inputs": _name(rounding.numbers), "input bias": bias, "shifts": shifts}


def _bias(of_format: float, scale: float) -> float:
    return round(of_format - math.log2(scale), DIGITS)


def _name(numbers: Numbers) -> str:
    if numbers.mantissa is None:
        return f"int{(int(numbers.largest - numbers.lowest)).bit_length()}"
    exponent = round(math.log2(numbers.bias + 1)) + 1
    return f"e{exponent}m{numbers.mantissa}"
