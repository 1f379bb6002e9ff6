"""Etude's own layout, for what has no public one: any numbers, single bits, another width in every layer.

A layer ``L`` of the checkpoint is stored as

==============  ==================================================================================
``L.codes``     int32 ``[out, ceil(in * bits / 32)]``: one stream of bits a row, from the lowest up
``L.shape``     int64 ``[2]``: outputs and inputs
``L.levels``    float32 ``[2^bits]``: what the codes count
``L.scale``     ``[rows, groups]``: float32, float16, bfloat16, float8; powers of two as uint8, ``2^(x-127)``
``L.zero``      whole zeros: int32, one stream of bits a row, like the codes
``L.lowest``    other zeros: what level 0 stands for, ``-zero * scale``, in the precision of the scale
``L.index``     int32 ``[in]``: the group of each column, where groups are not consecutive columns
``L.left``      float16 ``[out, rank]``, and ``L.right`` ``[rank, in]``: a product that is added
``L.divisor``   float16 ``[in]``: what inputs are divided by before (version 2 of the layout)
==============  ==================================================================================

and its weight is ``scale * (levels[code] - zero)``, one scale and zero for each group of a row. The rest of
``config.json`` is that of the architecture; ``quantization_config.layers`` tells the scheme of each layer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from etude.models.packed.bits import packed, unpacked
from etude.models.packed.parts import parts_of, precision
from etude.models.packed.weight import LowRank, Packed, Scheme

NAME = "etude"
VERSIONS = (1, 2)
"""That are read; 2 is written only where inputs are divided, which readers of 1 would leave out."""
_PARTS = ("codes", "shape", "levels", "scale", "zero", "lowest", "index", "left", "right", "divisor")
_EXPONENT_BIAS = 127


def refusal(scheme: Scheme, shape: tuple[int, int]) -> str | None:
    """None: it holds everything."""
    return None


def configuration(schemes: Mapping[str, Scheme], left: Iterable[str]) -> dict[str, Any]:
    """The ``quantization_config`` of a checkpoint."""
    layers = {name: dataclasses.asdict(scheme) for name, scheme in schemes.items()}
    version = 2 if any(scheme.divided for scheme in schemes.values()) else 1
    return {"quant_method": NAME, "version": version, "layers": layers}


def encode(weight: Packed, scheme: Scheme) -> dict[str, Tensor]:
    """The tensors of one layer, by name."""
    kind = precision(scheme.scales)
    scale = weight.scale.float()
    tensors = {
        "codes": packed(weight.codes(), scheme.bits),
        "shape": torch.tensor(weight.shape),
        "levels": weight.levels,
        "scale": _exponents(scale) if _are_powers(scale, scheme) else scale.to(kind),
    }
    if weight.zero is not None and scheme.zeros == "whole":
        tensors["zero"] = packed(weight.zero, scheme.bits)
    elif weight.zero is not None:
        tensors["lowest"] = (-weight.zero * scale).to(kind)
    if weight.index is not None:
        tensors["index"] = weight.index.to(torch.int32)
    if weight.low_rank is not None:
        tensors |= {"left": weight.low_rank.left, "right": weight.low_rank.right}
    if weight.divisor is not None:
        tensors["divisor"] = weight.divisor.half()
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def decode(configuration: Mapping[str, Any], state: dict[str, Tensor]) -> dict[str, Packed]:
    """The weights of a checkpoint, by layer; their tensors are taken out of ``state``."""
    if configuration.get("version") not in VERSIONS:
        known = " and ".join(map(str, VERSIONS))
        raise ValueError(
            f"version {configuration.get('version')!r} of Etude's layout is not read, only {known}"
        )
    layers = parts_of(state, "codes", _PARTS)
    widths = {name: int(scheme["bits"]) for name, scheme in configuration["layers"].items()}
    return {name: _decoded(parts, widths[name]) for name, parts in layers.items()}


def _decoded(parts: Mapping[str, Tensor], bits: int) -> Packed:
    scale = parts["scale"]
    if scale.dtype == torch.uint8:
        scale = torch.ones(scale.shape).ldexp(scale.int() - _EXPONENT_BIAS)
    zero = None
    if "zero" in parts:
        zero = unpacked(parts["zero"], bits, scale.shape[1]).float()
    if "lowest" in parts:
        zero = -parts["lowest"].float() / scale.float()
    low_rank = LowRank(parts["left"].float(), parts["right"].float()) if "left" in parts else None
    codes = unpacked(parts["codes"], bits, int(parts["shape"][1]))
    index = parts["index"].long() if "index" in parts else None
    divisor = parts["divisor"].float() if "divisor" in parts else None
    return Packed.of(codes, parts["levels"], scale, zero, index, low_rank, divisor)


def _are_powers(scale: Tensor, scheme: Scheme) -> bool:
    return scheme.scales == "power-of-two" and bool((scale > 0).all())


def _exponents(scale: Tensor) -> Tensor:
    """Exponents of powers of two."""
    return (torch.frexp(scale)[1] - 1 + _EXPONENT_BIAS).to(torch.uint8)
