"""Binary layers on packed bits: products by XNOR and popcount."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from etude.compress.binarize.layers import BinaryEmbedding, BinaryLinear, scaled
from etude.compress.binarize.signs import signs
from etude.compress.quantize.formats.binary import Bits

_MANY = 256
"""Inputs from which on it is faster to unpack a weight and to multiply signs, to the same whole numbers."""


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
    differing = np.zeros((len(ours), len(theirs)), dtype=np.uint16)
    for k in range(ours.shape[1]):
        differing += np.bitwise_count(ours[:, k, None] ^ theirs[None, :, k])
    return torch.from_numpy(features - 2 * differing.astype(np.int32))


def bits_of(positive: Tensor) -> Tensor:
    """Booleans ``[rows, columns]`` as int32 words ``[rows, ceil(columns / 32)]``, lowest bit first."""
    rows, columns = positive.shape
    octets = np.packbits(positive.numpy(), axis=1, bitorder="little")
    filled = np.zeros((rows, -(-columns // 32) * 4), dtype=np.uint8)
    filled[:, : octets.shape[1]] = octets
    return torch.from_numpy(filled.view("<i4"))


def signs_of(words: Tensor, columns: int) -> Tensor:
    """The signs that int32 words ``[rows, words]`` stand for, float32 ``[rows, columns]``."""
    octets = np.ascontiguousarray(words.numpy()).view(np.uint8)
    bits = np.unpackbits(octets, axis=1, count=columns, bitorder="little")
    return torch.from_numpy(bits).float().mul_(2).sub_(1)


class PackedLinear(nn.Module):
    """What `BinaryLinear` computes, from bits; for inference only.

    ``y = scale_x scale_w (d - 2 popcount(x_bits XOR w_bits)) + b``, where a bit of ``x`` is set from the
    threshold ``-shift`` of its channel on. Of many inputs the same number is the product of unpacked signs.

    Parameters
    ----------
    bits : of the weight ``[out, in]``.
    layer : the binary layer whose bias, shift and scale of inputs, and adapter it takes.
    """

    def __init__(self, bits: Bits, layer: BinaryLinear) -> None:
        super().__init__()
        self.features = bits.columns
        self.words, self.scale = nn.Buffer(bits.words), nn.Buffer(bits.scale)
        self.bias = layer.bias
        self.inputs = layer.inputs
        self.adapter = layer.adapter

    def forward(self, input: Tensor) -> Tensor:
        """``[..., in]`` to ``[..., out]``."""
        flat = input.detach().reshape(-1, self.features)
        shifted = self.inputs.shifted(flat)
        if len(shifted) > _MANY:
            counts = signs(shifted) @ signs_of(self.words, self.features).T
        else:
            counts = agreement(bits_of(shifted >= 0), self.words, self.features).float()
        result = scaled(counts, self.scale, self.inputs.scale, self.bias).reshape(*input.shape[:-1], -1)
        return result if self.adapter is None else result + self.adapter(input)


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
        return (signs_of(self.words[ids], self.width) * self.scale[ids]).reshape(*input.shape, self.width)


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
