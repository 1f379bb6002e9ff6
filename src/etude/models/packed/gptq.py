"""GPTQ's layout, as AutoGPTQ, GPTQModel and vLLM load it: 2, 3, 4 or 8 bits, any order of columns.

``qweight`` int32 ``[in * bits / 32, out]`` is one stream of bits down the inputs of each output (a code of 3
bits may straddle two words), ``qzeros`` int32 ``[groups, out * bits / 32]`` one along the outputs, ``scales``
float16 ``[groups, out]``, ``g_idx`` int32 ``[in]`` the group of each input. A code ``q`` stands for
``scale * (q - zero)``. The first version (``gptq``) stores ``zero - 1``, in which a zero of 0 has no place;
the second (``gptq_v2``) stores the zero. Symmetric weights are written in the first, which every reader has,
others in the second.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from etude.models.packed.bits import packed, unpacked
from etude.models.packed.parts import integer_levels, parts_of, uniform
from etude.models.packed.weight import Packed, Scheme

NAME = "gptq"
WIDTHS = (2, 3, 4, 8)
WORD = 32


def refusal(scheme: Scheme, shape: tuple[int, int]) -> str | None:
    """Why the layout cannot hold a weight of ``shape`` (outputs and inputs) in a scheme; None if it can."""
    if scheme.numbers != "int" or scheme.bits not in WIDTHS:
        return f"holds integers of {', '.join(map(str, WIDTHS))} bits, not {scheme.numbers} of {scheme.bits}"
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
    odd = [size for size in shape if size * scheme.bits % WORD]
    return f"packs {scheme.bits} bits in words of {WORD}, which {odd[0]} codes do not fill" if odd else None


def configuration(schemes: Mapping[str, Scheme], left: Iterable[str]) -> dict[str, Any]:
    """The ``quantization_config`` of a checkpoint; layers outside the blocks are dense by convention."""
    scheme = uniform(schemes)
    symmetric = scheme.zeros == "none"
    return {
        "quant_method": NAME,
        "bits": scheme.bits,
        "group_size": scheme.group if isinstance(scheme.group, int) else -1,
        "sym": symmetric,
        "desc_act": scheme.ordered,
        "checkpoint_format": "gptq" if symmetric else "gptq_v2",
        "lm_head": False,
    }


def encode(weight: Packed, scheme: Scheme) -> dict[str, Tensor]:
    """The tensors of one layer, by name."""
    scale, zero = weight.per_group()
    stored = torch.full_like(scale, 2 ** (scheme.bits - 1) - 1) if zero is None else zero
    inputs, groups = weight.shape[1], scale.shape[1]
    index = torch.arange(inputs) // (inputs // groups) if weight.index is None else weight.index
    return {
        "qweight": packed(weight.codes(), scheme.bits).T.contiguous(),
        "qzeros": packed(stored.T.to(torch.uint8), scheme.bits),
        "scales": scale.T.half().contiguous(),
        "g_idx": index.to(torch.int32),
    }


def decode(configuration: Mapping[str, Any], state: dict[str, Tensor]) -> dict[str, Packed]:
    """The weights of a checkpoint, by layer; their tensors are taken out of ``state``."""
    bits = int(configuration["bits"])
    version = configuration.get("checkpoint_format", "gptq")
    if version not in ("gptq", "gptq_v2") or bits not in WIDTHS:
        raise ValueError(f"GPTQ's layout {version!r} at {bits} bits is not read")
    found = parts_of(state, "qweight", ("qweight", "qzeros", "scales", "g_idx"))
    return {name: _decoded(parts, bits, int(version == "gptq")) for name, parts in found.items()}


def _decoded(parts: Mapping[str, Tensor], bits: int, offset: int) -> Packed:
    words, scale = parts["qweight"], parts["scales"]
    outputs, inputs = words.shape[1], words.shape[0] * WORD // bits
    codes = unpacked(words.T, bits, inputs)
    zero = unpacked(parts["qzeros"], bits, outputs).T.float() + offset
    index = parts["g_idx"].long() if "g_idx" in parts else torch.arange(inputs) // (inputs // len(scale))
    consecutive = torch.equal(index, torch.arange(inputs) // -(-inputs // len(scale)))
    levels = integer_levels(bits, symmetric=False)
    return Packed.of(codes, levels, scale.T.contiguous(), zero.contiguous(), None if consecutive else index)
