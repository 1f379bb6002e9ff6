"""The layout of compressed-tensors, which transformers and vLLM load.

====================  =======================================================================
``pack-quantized``    integers of 2 to 8 bits without gaps in 32-bit words, as version 0.20 has
                      it; 2, 4 and 8 bits are the same in all versions
``int-quantized``     int8, one to a byte: 8 bits, symmetric, a scale for a row or the tensor
``float-quantized``   float8 (``e4m3``), a scale for a row or for the whole tensor
``mxfp4-…``           ``e2m1`` in groups of 32 under scales that are powers of two
``nvfp4-…``           ``e2m1`` in groups of 16 under float8 scales, which share a divisor
====================  =======================================================================

A row's scale that is a power of two, or float8, is written for each of the row's groups.

With zero points, transformers 5.24 with compressed-tensors 0.19 and 0.20 loads such files (the library's own
too) only under ``CompressedTensorsConfig(dequantize=True)``: otherwise it expects the zero points unpacked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from etude.models.inputs import InputRounding
from etude.models.numbers import Numbers
from etude.models.packed.bits import packed, unpacked
from etude.models.packed.parts import integer_levels, parts_of, precision, uniform
from etude.models.packed.weight import Packed, Scheme

NAME = "compressed-tensors"
FP4 = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])
_PARTS = (
    "weight",
    "weight_packed",
    "weight_scale",
    "weight_global_scale",
    "weight_zero_point",
    "weight_shape",
)
_FP4_GROUPS = {"power-of-two": 32, "float8": 16}
"""Consecutive inputs of a row under one scale, by how a scale is stored."""
_EXPONENT_BIAS = 127
_ROUNDED = {
    ("int", 8, "token", True, True): Numbers.whole(8),
    ("float", 8, "token", True, True): Numbers(lowest=-448.0, largest=448.0, mantissa=3, bias=7),
}


def refusal(scheme: Scheme, shape: tuple[int, int]) -> str | None:
    """Why the layout cannot hold a weight of ``shape`` (outputs and inputs) in a scheme; None if it can."""
    if scheme.ordered:
        return "has only groups of consecutive columns; set static_groups"
    if scheme.divided:
        return "has no place for divided inputs; set inserted to false"
    if scheme.zeros == "real":
        return "has whole zero points, which convention gguf has not"
    if scheme.inputs not in ("none", "int8" if scheme.numbers == "int" else scheme.numbers):
        return "rounds inputs by token as they come: to int8 before integers, to e4m3 before e4m3"
    if scheme.numbers == "int":
        return None if scheme.bits > 1 else "holds no single bits"
    if scheme.numbers == "e4m3" and isinstance(scheme.group, str) and scheme.scales != "float8":
        return None
    size = _FP4_GROUPS.get(scheme.scales)
    if scheme.numbers == "e2m1" and size is not None and scheme.group in (size, "channel"):
        return (
            None if shape[1] % size == 0 else f"has groups of {size}, which do not divide {shape[1]} inputs"
        )
    return (
        f"holds e4m3 by channel or tensor, e2m1 in groups of 32 with power-of-two scales or of 16 with "
        f"float8 scales, or by channel with such scales, and integers; "
        f"not {scheme.numbers} by {scheme.group} with {scheme.scales} scales"
    )


def configuration(schemes: Mapping[str, Scheme], left: Iterable[str]) -> dict[str, Any]:
    """The ``quantization_config`` of a checkpoint in which the linear layers ``left`` are dense."""
    scheme = uniform(schemes)
    kind = _kind(scheme)
    group = _FP4_GROUPS[scheme.scales] if scheme.numbers == "e2m1" else scheme.group
    weights: dict[str, Any] = {
        "num_bits": scheme.bits,
        "type": "int" if scheme.numbers == "int" else "float",
        "symmetric": scheme.zeros == "none",
        "strategy": "group" if isinstance(group, int) else group,
        "group_size": group if isinstance(group, int) else None,
        "dynamic": False,
        "actorder": None,
    }
    if kind.startswith("mxfp4"):
        weights["scale_dtype"] = "torch.uint8"
    if kind.startswith("nvfp4"):
        weights |= {"strategy": "tensor_group", "scale_dtype": "torch.float8_e4m3fn"}
    layers = {"targets": ["Linear"], "weights": weights, "input_activations": _inputs(scheme), "format": kind}
    return {
        "quant_method": NAME,
        "format": kind,
        "quantization_status": "compressed",
        "ignore": list(left),
        "config_groups": {"group_0": layers},
    }


def encode(weight: Packed, scheme: Scheme) -> dict[str, Tensor]:
    """The tensors of one layer, by name."""
    kind, codes = _kind(scheme), weight.codes()
    scale = weight.scale.to(precision(scheme.scales)).contiguous()
    scale = scale.reshape(-1) if scheme.group == "tensor" else scale
    if scheme.numbers == "e2m1":
        return {"weight_packed": codes[:, ::2] | codes[:, 1::2] << 4} | _fp4_scales(weight, scheme)
    if kind == "float-quantized":
        return {"weight": codes.view(torch.float8_e4m3fn), "weight_scale": scale}
    half = 2 ** (scheme.bits - 1)
    if kind == "int-quantized":
        return {"weight": (codes.to(torch.int16) - half).to(torch.int8), "weight_scale": scale}
    tensors = {
        "weight_packed": packed(codes, scheme.bits),
        "weight_scale": scale,
        "weight_shape": torch.tensor(weight.shape),
    }
    if weight.zero is not None and scheme.group == "tensor":
        tensors["weight_zero_point"] = (weight.zero.reshape(-1) - half).to(torch.int8)
    elif weight.zero is not None:
        tensors["weight_zero_point"] = packed(weight.zero.T, scheme.bits).T.contiguous()
    return tensors


def decode(configuration: Mapping[str, Any], state: dict[str, Tensor]) -> dict[str, Packed]:
    """The weights of a checkpoint, by layer; their tensors are taken out of ``state``."""
    groups = configuration["config_groups"]
    bits = {int(group["weights"]["num_bits"]) for group in groups.values()}
    if len(bits) != 1:
        raise ValueError(f"layers of different widths: {sorted(bits)} bits")
    return {name: _decoded(parts, *bits) for name, parts in parts_of(state, "weight_scale", _PARTS).items()}


def _decoded(parts: Mapping[str, Tensor], bits: int) -> Packed:
    scale = parts["weight_scale"]
    scale = scale.reshape(1, 1) if scale.ndim < 2 else scale
    if "weight" in parts and parts["weight"].dtype == torch.int8:
        codes = (parts["weight"].to(torch.int16) + 128).to(torch.uint8)
        return Packed.of(codes, integer_levels(8, symmetric=True), scale)
    if "weight" in parts:
        levels = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn).float()
        return Packed.of(parts["weight"].view(torch.uint8), levels, scale)
    words = parts["weight_packed"]
    if words.dtype == torch.uint8:
        codes, levels = torch.stack([words & 15, words >> 4], -1).flatten(1), torch.cat([FP4, -FP4])
        if "weight_global_scale" in parts:
            return Packed.of(codes, levels / parts["weight_global_scale"].float(), scale)
        return Packed.of(codes, levels, torch.ones(scale.shape).ldexp(scale.int() - _EXPONENT_BIAS))
    codes = unpacked(words, bits, int(parts["weight_shape"][1]))
    point = parts.get("weight_zero_point")
    if point is None:
        return Packed.of(codes, integer_levels(bits, symmetric=True), scale)
    if point.dtype == torch.int32:
        zero = unpacked(point.T, bits, len(scale)).T.float()
    else:
        zero = point.reshape(1, 1) + 2.0 ** (bits - 1)
    return Packed.of(codes, integer_levels(bits, symmetric=False), scale, zero)


def roundings(configuration: Mapping[str, Any], layers: Iterable[str]) -> dict[str, InputRounding]:
    """How the inputs of a checkpoint's packed layers are rounded; those of which nothing is said are not."""
    found = {str(group.get("input_activations")) for group in configuration["config_groups"].values()}
    if len(found) != 1:
        raise ValueError("the inputs of different layers are rounded differently")
    said = next(iter(configuration["config_groups"].values())).get("input_activations")
    if said is None:
        return {}
    kind = (said["type"], said["num_bits"], said["strategy"], said["symmetric"], said["dynamic"])
    if kind not in _ROUNDED:
        raise ValueError(f"inputs rounded as {kind} are not read")
    return {layer: InputRounding(_ROUNDED[kind], "token") for layer in layers}


def _fp4_scales(weight: Packed, scheme: Scheme) -> dict[str, Tensor]:
    """What scales each group: an exponent; or a float8 number, and one by which all of these are divided."""
    groups = weight.shape[1] // _FP4_GROUPS[scheme.scales]
    scale = weight.scale.repeat_interleave(groups // weight.scale.shape[1], 1)
    if scheme.scales == "float8":
        return {"weight_scale": scale, "weight_global_scale": (FP4[-1] / weight.levels.max()).reshape(1)}
    exponent = torch.frexp(scale.float())[1] - 1 + _EXPONENT_BIAS
    return {"weight_scale": exponent.to(torch.uint8)}


def _inputs(scheme: Scheme) -> dict[str, Any] | None:
    if scheme.inputs == "none":
        return None
    number = {"num_bits": 8, "type": "int" if scheme.inputs == "int8" else "float"}
    return number | {"strategy": "token", "symmetric": True, "dynamic": True}


def _kind(scheme: Scheme) -> str:
    if scheme.numbers == "e2m1":
        return "nvfp4-pack-quantized" if scheme.scales == "float8" else "mxfp4-pack-quantized"
    if scheme.numbers != "int":
        return "float-quantized"
    as_bytes = scheme.bits == 8 and scheme.zeros == "none" and isinstance(scheme.group, str)
    return "int-quantized" if as_bytes else "pack-quantized"
