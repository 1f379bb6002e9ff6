"""What the layouts share: levels of integers, precisions of scales, tensors found by their layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from etude.errors import InputError
from etude.models.packed.weight import Scheme

_PRECISIONS = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float8": torch.float8_e4m3fn,
}


def integer_levels(bits: int, *, symmetric: bool) -> Tensor:
    """Level of each code, float32 ``[2^bits]``: from ``-2^(bits-1)`` if symmetric, else from 0."""
    return torch.arange(2**bits).float() - (2 ** (bits - 1) if symmetric else 0)


def precision(scales: str) -> torch.dtype:
    """In which a scale is held and, where a layout leaves it free, written; powers of two fit float16."""
    return _PRECISIONS.get(scales, torch.float16)


def uniform(schemes: Mapping[str, Scheme]) -> Scheme:
    """The scheme of all layers.

    Raises
    ------
    InputError : if they have several.
    """
    found = set(schemes.values())
    if len(found) != 1:
        raise InputError("format", f"the layers are stored in {len(found)} ways; only etude can hold that")
    return found.pop()


def parts_of(state: dict[str, Tensor], mark: str, names: Iterable[str]) -> dict[str, dict[str, Tensor]]:
    """Take the tensors ``<layer>.<name>`` out of ``state``, of each layer that has one named ``mark``.

    Examples
    --------
    >>> state = {"up.codes": torch.zeros(1), "up.scale": torch.ones(1), "norm.weight": torch.ones(1)}
    >>> parts_of(state, "codes", ("codes", "scale"))
    {'up': {'codes': tensor([0.]), 'scale': tensor([1.])}}
    >>> list(state)
    ['norm.weight']
    """
    layers = [key.removesuffix(f".{mark}") for key in state if key.endswith(f".{mark}")]
    return {
        layer: {name: state.pop(f"{layer}.{name}") for name in names if f"{layer}.{name}" in state}
        for layer in layers
    }
