"""Codes of a few bits as one stream of bits, in 32-bit words."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def packed(codes: Tensor, bits: int) -> Tensor:
    """Pack each row of codes into int32 words without gaps, from the lowest bit up.

    Code ``i`` lies at bits ``i * bits`` and following of its row; with 3, 5, 6 or 7 bits some codes lie in
    two words.

    Parameters
    ----------
    codes : whole numbers in ``[0, 2^bits)``, ``[rows, columns]``.
    bits : of a code, 1 to 8.

    Returns
    -------
    Tensor : int32 ``[rows, ceil(columns * bits / 32)]``; the last word is filled up with zeros.

    Examples
    --------
    >>> [hex(word) for word in packed(torch.tensor([[1, 2, 3, 4, 5, 6, 7, 0, 9]]), bits=4)[0]]
    ['0x7654321', '0x9']
    """
    rows, columns = codes.shape
    width = -(-columns * bits // 32) * 32
    stream = np.zeros((rows, width), dtype=np.uint8)
    single = codes.to(torch.uint8).numpy()[..., None] >> np.arange(bits, dtype=np.uint8) & 1
    stream[:, : columns * bits] = single.reshape(rows, -1)
    return torch.from_numpy(np.packbits(stream, axis=1, bitorder="little").view("<i4"))


def unpacked(words: Tensor, bits: int, columns: int) -> Tensor:
    """The codes that were `packed`, uint8 ``[rows, columns]``.

    Examples
    --------
    >>> unpacked(packed(torch.tensor([[3, 0, 7]]), bits=3), bits=3, columns=3)
    tensor([[3, 0, 7]], dtype=torch.uint8)
    """
    octets = np.ascontiguousarray(words.numpy()).astype("<i4").view(np.uint8)
    stream = np.unpackbits(octets, axis=1, bitorder="little", count=columns * bits)
    single = stream.reshape(len(words), columns, bits) << np.arange(bits, dtype=np.uint8)
    return torch.from_numpy(single.sum(-1, dtype=np.uint8))
