"""What a binary encoder takes on disk."""

from __future__ import annotations

from typing import Any

from torch import nn

from etude.compress.binarize.packed import pack


def bits_per_weight(model: Any) -> float:
    """Bits that a weight of the encoder's linear layers and word embedding takes, scales counted in.

    Examples
    --------
    >>> from etude.models import load
    >>> bits_per_weight(load("nano-bert")[0])
    32.0
    """
    packed = {name: bits.stored_bits() for name, bits in pack(model.base_model).items()}
    counts = {
        name: module.weight.numel()
        for name, module in model.base_model.named_modules()
        if isinstance(module, nn.Linear) or module is model.get_input_embeddings()
        if ".estimators." not in name and ".adapter." not in name
    }
    bits: int = sum(packed.get(name, 32 * count) for name, count in counts.items())
    return bits / sum(counts.values())


def encoder_bytes(model: Any) -> float:
    """Bytes of the encoder: binary matrices packed, everything else in float32."""
    matrices = pack(model.base_model)
    replaced = {f"{name}.weight" for name in matrices}
    other = sum(p.numel() for name, p in model.base_model.named_parameters() if name not in replaced)
    return 4 * int(other) + sum(bits.stored_bits() for bits in matrices.values()) / 8
