"""The blocks of GGUF in which integers lie: 32 consecutive inputs of a row under one scale.

======  ====  ======================================  ============================
type    bits  bytes of a block                        a code stands for
======  ====  ======================================  ============================
Q4_0    4     scale, 16 of codes                      ``scale * (code - 8)``
Q4_1    4     scale, minimum, 16 of codes             ``scale * code + minimum``
Q5_0    5     scale, 4 of fifth bits, 16 of codes     ``scale * (code - 16)``
Q5_1    5     scale, minimum, 4 of fifth bits, 16     ``scale * code + minimum``
Q8_0    8     scale, 32 of codes (int8)               ``scale * code``
======  ====  ======================================  ============================

Scales and minima are float16; the first sixteen codes lie in the lower halves of their bytes, the others in
the upper ones.
"""

from __future__ import annotations

import torch
from gguf import GGMLQuantizationType as Type
from torch import Tensor

from etude.models.packed.parts import integer_levels
from etude.models.packed.weight import Packed, Scheme

SIZE = 32
TYPES = {
    (4, "none"): Type.Q4_0,
    (4, "whole"): Type.Q4_1,
    (4, "real"): Type.Q4_1,
    (5, "none"): Type.Q5_0,
    (5, "whole"): Type.Q5_1,
    (5, "real"): Type.Q5_1,
    (8, "none"): Type.Q8_0,
}
"""By bits and kind of zero."""
_BITS = {kind: bits for (bits, _), kind in TYPES.items()}
_WITH_MINIMUM = (Type.Q4_1, Type.Q5_1)
_ZERO_CODES = {Type.Q4_0: 8, Type.Q4_1: 0, Type.Q5_0: 16, Type.Q5_1: 0, Type.Q8_0: 128}


def refusal(scheme: Scheme, shape: tuple[int, int]) -> str | None:
    """Why no type of block can hold a weight of ``shape`` (outputs, inputs) in a scheme; None if one can."""
    if scheme.compensated:
        return "has no place for a low-rank product; set rank=0"
    if scheme.numbers != "int" or (scheme.bits, scheme.zeros) not in TYPES:
        return (
            "holds integers of 4, 5 and (symmetric) 8 bits, not "
            f"{scheme.numbers} of {scheme.bits} with {scheme.zeros} zeros"
        )
    if scheme.divided:
        return "has no place for divided inputs; set inserted to false"
    if scheme.inputs != "none":
        return "leaves inputs as they are; set activations to none"
    if scheme.ordered:
        return "has only blocks of consecutive columns; set static_groups"
    group = scheme.group if isinstance(scheme.group, int) else shape[1]
    if group % SIZE:
        return f"has blocks of {SIZE} inputs, of which a group of {group} is no multiple"
    if scheme.scales in ("bfloat16", "float32"):
        return f"stores scales in float16, not {scheme.scales}"
    return None


def encode(weight: Packed, kind: Type) -> Tensor:
    """The blocks of a weight, uint8 ``[out, bytes]``; exact but for rounding minima to float16."""
    codes = weight.codes().reshape(weight.shape[0], -1, SIZE)
    scale, zero = weight.per_group()
    times = codes.shape[1] // scale.shape[1]
    fields = [_half(scale.repeat_interleave(times, 1))]
    if zero is not None:
        fields.append(_half((-zero * scale).repeat_interleave(times, 1)))
    if kind is Type.Q8_0:
        fields.append((codes.to(torch.int16) - 128).to(torch.int8).view(torch.uint8))
    else:
        if _BITS[kind] == 5:
            fields.append(_gathered(codes >> 4))
        low = codes & 15
        fields.append(low[..., : SIZE // 2] | low[..., SIZE // 2 :] << 4)
    return torch.cat(fields, -1).reshape(len(codes), -1)


def decode(octets: Tensor, kind: Type) -> Packed:
    """The weight that blocks ``[out, bytes]`` hold."""
    bits = _BITS[kind]
    fields = list(_fields(octets, kind))
    scale = _float(fields.pop(0))
    minimum = _float(fields.pop(0)) if kind in _WITH_MINIMUM else None
    codes = fields.pop()
    # From two's complement to codes that count from the lowest level; or from halves of bytes.
    codes = codes ^ 128 if kind is Type.Q8_0 else torch.cat([codes & 15, codes >> 4], -1)
    if fields:
        codes = codes | _spread(fields.pop()) << 4
    unused = scale == 0  # all weights are the minimum, or 0
    codes, scale = codes.masked_fill(unused[..., None], _ZERO_CODES[kind]), scale.masked_fill(unused, 1)
    zero = None if minimum is None else -minimum / scale
    levels = integer_levels(bits, symmetric=minimum is None)
    return Packed.of(codes.reshape(len(octets), -1), levels, scale.half(), zero)


def _fields(octets: Tensor, kind: Type) -> tuple[Tensor, ...]:
    """The parts of each block, uint8 ``[out, blocks, bytes of the part]``."""
    sizes = [2] * (2 if kind in _WITH_MINIMUM else 1) + [4] * (_BITS[kind] == 5)
    sizes.append(SIZE if kind is Type.Q8_0 else SIZE // 2)
    return torch.split(octets.reshape(len(octets), -1, sum(sizes)), sizes, -1)


def _half(per_block: Tensor) -> Tensor:
    return per_block.half().contiguous()[..., None].view(torch.uint8)


def _float(octets: Tensor) -> Tensor:
    return octets.contiguous().view(torch.float16)[..., 0].float()


def _gathered(single: Tensor) -> Tensor:
    """32 bits as four bytes, the first the lowest."""
    places = single.reshape(*single.shape[:-1], 4, 8) << torch.arange(8, dtype=torch.uint8)
    return places.sum(-1, dtype=torch.uint8)


def _spread(octets: Tensor) -> Tensor:
    return (octets[..., None] >> torch.arange(8, dtype=torch.uint8) & 1).flatten(-2)
