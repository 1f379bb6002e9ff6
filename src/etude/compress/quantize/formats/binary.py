"""Checkpoints of one bit a weight, in a layout of Etude's own: no public one holds binary BERT.

A folder in the manner of ``save_pretrained``:

``config.json``
    what transformers writes, and under ``quantization_config``: ``quant_method`` (`NAME`), ``version``,
    ``layers``, the number of columns of each binary matrix by name, and ``structure``, what the model
    computes with them.
``model.safetensors``
    for a binary matrix ``X``, ``[rows, columns]``: ``X.bits``, int32 ``[rows, ceil(columns / 32)]``, bit
    ``j`` of a row (from the lowest of its first word up) set where column ``j`` is positive; and
    ``X.scale``, float32 ``[1]`` or ``[rows, 1]``. The matrix is ``scale * (2 bit - 1)``. All other
    tensors as they are.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from etude.errors import InputError
from etude.files import new_folder
from etude.models import checkpoint
from etude.models.packed.bits import packed, unpacked

NAME = "etude-binary"
VERSION = 1


class Bits(NamedTuple):
    """A matrix of two values.

    Attributes
    ----------
    words : int32 ``[rows, ceil(columns / 32)]``, the last word filled up with zeros.
    scale : float32 ``[1]`` or ``[rows, 1]``.
    columns : of the matrix.
    """

    words: Tensor
    scale: Tensor
    columns: int

    @classmethod
    def of(cls, matrix: Tensor, scale: Tensor) -> Bits:
        """Pack ``scale * sign``, float ``[rows, columns]``.

        Examples
        --------
        >>> bits = Bits.of(torch.tensor([[0.5, -0.5, -0.5], [0.5, 0.5, 0.5]]), torch.tensor([0.5]))
        >>> bits.words.tolist(), bits.stored_bits()
        ([[1], [7]], 96)
        >>> bits.matrix()
        tensor([[ 0.5000, -0.5000, -0.5000],
                [ 0.5000,  0.5000,  0.5000]])
        """
        return cls(packed((matrix > 0).to(torch.uint8), 1), scale.float().clone(), matrix.shape[1])

    def matrix(self) -> Tensor:
        """The values, float32 ``[rows, columns]``."""
        signs = unpacked(self.words, 1, self.columns).float() * 2 - 1
        return self.scale * signs

    def stored_bits(self) -> int:
        """Bits in the file: a bit a weight, rows filled up to whole words, and 32 a scale."""
        return 32 * (self.words.numel() + self.scale.numel())


class Packed(NamedTuple):
    """What a checkpoint holds.

    Attributes
    ----------
    config : of transformers, as a dictionary, without what this layout adds.
    structure : what the model computes, as its writer gave it.
    matrices : binary matrices by name.
    tensors : all others by name.
    """

    config: dict[str, Any]
    structure: dict[str, Any]
    matrices: dict[str, Bits]
    tensors: dict[str, Tensor]


def write(packed_model: Packed, tokenizer: Any, folder: Path) -> None:
    """Write a checkpoint whole or not at all; ``folder`` must be new or empty.

    Raises
    ------
    InputError : if the folder holds something.
    """
    from safetensors.torch import save_file

    stored = {name: value.detach().clone().contiguous() for name, value in packed_model.tensors.items()}
    for name, bits in packed_model.matrices.items():
        stored |= {f"{name}.bits": bits.words, f"{name}.scale": bits.scale}
    quantization = {
        "quant_method": NAME,
        "version": VERSION,
        "structure": packed_model.structure,
        "layers": {name: bits.columns for name, bits in packed_model.matrices.items()},
    }
    config = packed_model.config | {"quantization_config": quantization}
    with new_folder(folder) as temporary:
        (temporary / checkpoint.CONFIG).write_text(json.dumps(config, indent=2, default=str) + "\n")
        save_file(stored, temporary / checkpoint.WEIGHTS, metadata={"format": "pt"})
        if tokenizer is not None:
            tokenizer.save_pretrained(temporary)


def read(folder: Path) -> Packed:
    """Read what `write` wrote.

    Raises
    ------
    InputError : if the folder holds no such checkpoint, or tensors of it are missing or do not fit.
    """
    from safetensors.torch import load_file

    if not (folder / checkpoint.CONFIG).is_file() or not (folder / checkpoint.WEIGHTS).is_file():
        raise InputError("model", f"{folder} has no {checkpoint.CONFIG} with {checkpoint.WEIGHTS}")
    config = checkpoint.read_json(folder / checkpoint.CONFIG)
    quantization = config.pop("quantization_config", None)
    if not isinstance(quantization, dict) or quantization.get("quant_method") != NAME:
        raise InputError("model", f"{folder} is no checkpoint of {NAME}")
    if quantization.get("version") != VERSION:
        raise InputError("model", f"{folder} is of version {quantization.get('version')!r}, not {VERSION}")
    tensors = load_file(checkpoint.weight_files(folder)[0])
    matrices = {}
    for name, columns in quantization["layers"].items():
        words, scale = tensors.pop(f"{name}.bits", None), tensors.pop(f"{name}.scale", None)
        if words is None or scale is None or words.shape[1] != -(-columns // 32):
            raise InputError("model", f"{folder}: the bits of {name} are missing or do not fit")
        matrices[name] = Bits(words, scale, columns)
    return Packed(config, quantization["structure"], matrices, tensors)
