"""AutoAWQ's "gemm" layout, which vLLM and GPTQModel load: 4 bits, asymmetric, in groups.

``qweight`` int32 ``[in, out / 8]`` holds eight output columns a word in the order 0, 2, 4, 6, 1, 3, 5, 7 from
the lowest bits up, ``qzeros`` ``[groups, out / 8]`` likewise, ``scales`` float16 ``[groups, out]``; a code
``q`` stands for ``scale * (q - zero)``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from etude.models.packed.bits import packed, unpacked
from etude.models.packed.parts import integer_levels, parts_of, uniform
from etude.models.packed.weight import Packed, Scheme

NAME = "awq"
BITS = 4
ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
"""Which of eight output columns lies at each place of a word."""


def refusal(scheme: Scheme, shape: tuple[int, int]) -> str | None:
    """Why the layout cannot hold a weight of ``shape`` (outputs and inputs) in a scheme; None if it can."""
    if scheme.numbers != "int" or scheme.bits != BITS:
        return f"holds integers of {BITS} bits, not {scheme.numbers} of {scheme.bits}"
    if scheme.ordered:
        return "has only groups of consecutive columns; set static_groups"
    if scheme.divided:
        return "has no place for divided inputs; set inserted to false"
    if scheme.inputs != "none":
        return "leaves inputs as they are; set activations to none"
    if scheme.zeros == "real":
        return "has whole zero points, which convention gguf has not"
    if scheme.group == "tensor":
        return "has a scale for every row at least; set group to channel"
    if scheme.scales == "bfloat16" or scheme.scales == "float32":
        return f"stores scales in float16, not {scheme.scales}"
    if shape[0] % len(ORDER):
        return f"packs {len(ORDER)} outputs in a word, which {shape[0]} do not fill"
    return None


def configuration(schemes: Mapping[str, Scheme], left: Iterable[str]) -> dict[str, Any]:
    """The ``quantization_config`` of a checkpoint in which the linear layers ``left`` are dense."""
    group = uniform(schemes).group
    return {
        "quant_method": NAME,
        "bits": BITS,
        "group_size": group if isinstance(group, int) else -1,
        "zero_point": True,
        "version": "gemm",
        "modules_to_not_convert": list(left),
    }


def encode(weight: Packed, scheme: Scheme) -> dict[str, Tensor]:
    """The tensors of one layer, by name; without zeros, the middle code is the zero."""
    scale, zero = weight.per_group()
    zeros = torch.full_like(scale, 2 ** (BITS - 1)) if zero is None else zero
    return {
        "qweight": _words(weight.codes().T),
        "qzeros": _words(zeros.T.to(torch.uint8)),
        "scales": scale.T.half().contiguous(),
    }


def decode(configuration: Mapping[str, Any], state: dict[str, Tensor]) -> dict[str, Packed]:
    """The weights of a checkpoint, by layer; their tensors are taken out of ``state``."""
    version = str(configuration.get("version", "gemm")).lower()
    if version != "gemm" or int(configuration.get("bits", BITS)) != BITS:
        raise ValueError(
            f"AWQ's layout {version!r} at {configuration.get('bits')} bits is not read, only gemm at 4"
        )
    found = parts_of(state, "qweight", ("qweight", "qzeros", "scales"))
    return {name: _decoded(**parts) for name, parts in found.items()}


def _decoded(qweight: Tensor, qzeros: Tensor, scales: Tensor) -> Packed:
    zero = _columns(qzeros).T.float()
    levels = integer_levels(BITS, symmetric=False)
    return Packed.of(_columns(qweight).T.contiguous(), levels, scales.T.contiguous(), zero)


def _words(codes: Tensor) -> Tensor:
    """Codes ``[rows, columns]`` in words of eight columns, in AWQ's order."""
    eights = codes.reshape(len(codes), -1, len(ORDER))[..., list(ORDER)]
    return packed(eights.reshape(codes.shape), BITS)


def _columns(words: Tensor) -> Tensor:
    columns = words.shape[1] * len(ORDER)
    eights = unpacked(words, BITS, columns).reshape(len(words), -1, len(ORDER))
    back = torch.argsort(torch.tensor(ORDER))
    return eights[..., back].reshape(len(words), columns)
