"""The formats of quantised checkpoints: which can hold what, and how they are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from torch import nn

from etude.compress.quantize.activation_format import ActivationFormat, float_numbers
from etude.compress.quantize.awq import Awq
from etude.compress.quantize.full_precision import FullPrecision
from etude.compress.quantize.gptq import Gptq
from etude.compress.quantize.grids import Floats
from etude.compress.quantize.llm_fp4 import LlmFp4
from etude.compress.quantize.quantized import Quantized
from etude.compress.quantize.weights import WeightFormat
from etude.errors import InputError
from etude.models import inputs, save
from etude.models.blocks import block_linears, is_transposed
from etude.models.inputs import InputRounding
from etude.models.numbers import Numbers
from etude.models.packed import gguf_blocks, gguf_file, native
from etude.models.packed.layouts import LAYOUTS
from etude.models.packed.weight import Inputs, Scheme
from etude.models.packed.writing import write as write_packed

Format = Literal["dense", "compressed-tensors", "awq", "gptq", "gguf", "etude"]


def check(name: Format, method: Any, model: nn.Module, tokenizer: Any) -> None:
    """Raise `InputError` if a format cannot hold what ``method`` makes of ``model``."""
    if name in ("dense", native.NAME) or isinstance(method, FullPrecision):
        return
    if isinstance(method, LlmFp4):
        scheme = _searched(name, method)
    elif isinstance(method, WeightFormat):
        scheme = scheme_of(method)
    else:
        raise InputError(
            "format", f"{name} holds one grid for all layers, which {method.name} does not keep to"
        )
    if isinstance(method, Awq):
        scheme = replace(scheme, divided=method.divides(model))
    refusal_of = gguf_blocks.refusal if name == gguf_file.NAME else LAYOUTS[name].refusal
    for linear in block_linears(model):
        outputs, inputs = linear.weight.shape
        refusal = refusal_of(scheme, (outputs, inputs))
        if is_transposed(linear.module):
            refusal = f"does not know transposed layers such as {linear.name}"
        if refusal is not None:
            raise InputError("format", f"{name} {refusal}; etude and dense hold everything")
    if name == gguf_file.NAME:
        gguf_file.check(model, tokenizer)


def scheme_of(method: WeightFormat) -> Scheme:
    """How a method stores the weights of a layer."""
    zeros: Literal["none", "whole", "real"] = "none"
    if method.numbers == "int" and not method.symmetric:
        zeros = "real" if method.convention == "gguf" else "whole"
    moves = isinstance(method, Gptq) and method.act_order and not method.static_groups
    return Scheme(
        bits=method.bits,
        numbers=method.numbers,
        zeros=zeros,
        group=method.group,
        scales=method.scales,
        ordered=moves and isinstance(method.group, int),
        compensated=method.rank > 0,
        inputs=_inputs_of(method),
    )


def write(name: Format, model: Any, tokenizer: Any, stored: Mapping[str, Quantized], folder: Path) -> None:
    """Write a quantised model in a format, whole or not at all; dense if nothing is stored.

    Parameters
    ----------
    name : of the format.
    model : a ``PreTrainedModel``; layers that are not in ``stored`` are written as they are.
    tokenizer : its tokenizer, or None.
    stored : what is stored of each quantised layer.
    folder : a new or an empty folder.

    Raises
    ------
    InputError : if the folder holds something, or the format cannot hold the layers.
    """
    if name == "dense" or not stored:
        save(model, tokenizer, folder)
        return
    roundings = inputs.installed(model)
    layers = {
        layer: (quantized.packed(), replace(quantized.scheme(), inputs=_rounded_to(roundings.get(layer))))
        for layer, quantized in stored.items()
    }
    if name == gguf_file.NAME:
        gguf_file.write(model, tokenizer, layers, folder)
    else:
        write_packed(model, tokenizer, layers, LAYOUTS[name], folder)


def _searched(name: Format, method: LlmFp4) -> Scheme:
    """How LLM-FP4 stores the weights of a layer, if a format beside Etude's own can hold what it makes."""
    if method.numbers == "search":
        raise InputError("numbers", f"search is free in every layer, {name} holds one format; name it: e2m1")
    if method.activations != "none":
        raise InputError("activations", f"{name} has no ranges of inputs that were searched; set none")
    return Scheme(bits=method.bits, numbers=method.numbers, group="channel", scales=method.scales)


def _inputs_of(method: WeightFormat) -> Inputs:
    if not isinstance(method, ActivationFormat) or method.activations == "none":
        return "none"
    if method.activation_range != "token":
        return "other"
    return _rounded_to(InputRounding(method.activation_numbers, "token"))


def _rounded_to(rounding: InputRounding | None) -> Inputs:
    if rounding is None:
        return "none"
    if rounding.scale is None and rounding.by == "token":
        if rounding.numbers == Numbers.whole(8):
            return "int8"
        if rounding.numbers == float_numbers(Floats.named("e4m3")):
            return "e4m3"
    return "other"
