"""Binary layers on packed bits: products by XNOR and popcount, nothing decoded."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from etude.compress.binarize.layers import BinaryEmbedding, BinaryLinear
from etude.compress.binarize.signs import FLOOR
from etude.compress.quantize.formats.binary import Bits
from etude.models.packed.bits import unpacked

_ROWS = 512
"""Inputs that are multiplied at a time: the table of counts stays in the cache."""


def agreement(left: Tensor, right: Tensor, features: int) -> Tensor:
    """``sum_k s_ik t_jk`` of signs from their bits: ``features - 2 popcount(left_i XOR right_j)``.

    Parameters
    ----------
    left : int32 words ``[n, words]``.
    right : int32 words ``[m, words]``, filled up with the same bits.
    features : signs in a row.

    Returns
    -------
    Tensor : int32 ``[n, m]``.

    Examples
    --------
    >>> agreement(torch.tensor([[0b101]], dtype=torch.int32), torch.tensor([[0b100]], dtype=torch.int32), 3)
    tensor([[1]], dtype=torch.int32)
    """
    ours, theirs = _words(left), _words(right)
    found = np.empty((len(ours), len(theirs)), dtype=np.int32)
    for begin in range(0, len(ours), _ROWS):
        chunk = ours[begin : begin + _ROWS]
        differing = np.zeros((len(chunk), len(theirs)), dtype=np.uint16)
        for k in range(chunk.shape[1]):
            differing += np.bitwise_count(chunk[:, k, None] ^ theirs[None, :, k])
        found[begin : begin + _ROWS] = features - 2 * differing.astype(np.int32)
    return torch.from_numpy(found)


def bits_of(positive: Tensor) -> Tensor:
    """Booleans ``[rows, columns]`` as int32 words ``[rows, ceil(columns / 32)]``, lowest bit first."""
    rows, columns = positive.shape
    octets = np.packbits(positive.numpy(), axis=1, bitorder="little")
    filled = np.zeros((rows, -(-columns // 32) * 4), dtype=np.uint8)
    filled[:, : octets.shape[1]] = octets
    return torch.from_numpy(filled.view("<i4"))


class PackedLinear(nn.Module):
    """What `BinaryLinear` computes, from bits; for inference only.

    ``y = scale_x scale_w (d - 2 popcount(x_bits XOR w_bits)) + b``, where a bit of ``x`` is set from the
    threshold ``-shift`` of its channel on.

    Parameters
    ----------
    bits : of the weight ``[out, in]``.
    layer : the binary layer whose bias, shift and scale of inputs it takes.
    """

    def __init__(self, bits: Bits, layer: BinaryLinear) -> None:
        super().__init__()
        self.features = bits.columns
        self.words, self.scale = nn.Buffer(bits.words), nn.Buffer(bits.scale)
        self.bias = layer.bias
        self.inputs = layer.inputs

    def forward(self, input: Tensor) -> Tensor:
        """``[..., in]`` to ``[..., out]``."""
        flat = input.detach().reshape(-1, self.features)
        shifted = flat if self.inputs.shift is None else flat + self.inputs.shift
        counts = agreement(bits_of(shifted >= 0), self.words, self.features).float()
        result = counts * (self.scale * self.inputs.scale.clamp(min=FLOOR))
        result = result if self.bias is None else result + self.bias
        return result.reshape(*input.shape[:-1], -1)


class PackedEmbedding(nn.Module):
    """Rows of a binary embedding, unpacked when they are asked for.

    Parameters
    ----------
    bits : of the embedding ``[vocabulary, width]``, with a scale a row.
    """

    def __init__(self, bits: Bits) -> None:
        super().__init__()
        self.width = bits.columns
        self.words, self.scale = nn.Buffer(bits.words), nn.Buffer(bits.scale)

    def forward(self, input: Tensor) -> Tensor:
        """Token ids ``[...]`` to ``[..., width]``."""
        ids = input.reshape(-1)
        rows = unpacked(self.words[ids], 1, self.width).float() * 2 - 1
        return (rows * self.scale[ids]).reshape(*input.shape, self.width)


def pack(model: nn.Module) -> dict[str, Bits]:
    """The binary matrices of a model by name of their layer; nothing is changed.

    A row of zeros in an embedding has a scale of 0 and stays what it is.
    """
    found = {}
    for name, module in model.named_modules():
        if isinstance(module, BinaryLinear):
            weight = module.weight.detach()
            found[name] = Bits.of(_up(weight - weight.mean()), weight.abs().mean().reshape(1))
        elif isinstance(module, BinaryEmbedding):
            weight = module.weight.detach()
            found[name] = Bits.of(_up(weight - weight.mean()), weight.abs().mean(-1, keepdim=True))
    return found


def put(model: Any, matrices: dict[str, Bits]) -> None:
    """Set packed layers in the places of binary ones, in place."""
    for name, bits in matrices.items():
        place, _, last = name.rpartition(".")
        module = model.get_submodule(name)
        layer = PackedLinear(bits, module) if isinstance(module, BinaryLinear) else PackedEmbedding(bits)
        setattr(model.get_submodule(place), last, layer)


def _up(x: Tensor) -> Tensor:
    return (x >= 0).float()


def _words(words: Tensor) -> np.ndarray[Any, Any]:
    """As 64-bit words where their number allows: half as many operations."""
    array = np.ascontiguousarray(words.numpy())
    return array.view(np.uint64) if array.shape[1] % 2 == 0 else array.view(np.uint32)
