"""Binary models on disk: packed by `save`, to compute from bits when they come back by `load`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from etude.compress.binarize.attention import Structure
from etude.compress.binarize.encoder import binarise, structure_of
from etude.compress.binarize.packed import pack, put
from etude.compress.quantize.formats import binary
from etude.errors import InputError
from etude.models.loading import blank, tokenizer_of


def save(model: Any, tokenizer: Any, folder: str | Path) -> None:
    """Write a binary model in its packed layout (`etude.compress.quantize.formats.binary`).

    Parameters
    ----------
    model : a masked language model or a classifier whose encoder `binarise` has made binary.
    tokenizer : its tokenizer, or None.
    folder : a new or an empty folder.

    Raises
    ------
    InputError : if the model is not binary, or the folder holds something.
    """
    structure = structure_of(model)
    if structure is None:
        raise InputError("model", f"{type(model).__name__} is not binary")
    matrices = pack(model)
    replaced = {f"{name}.weight" for name in matrices}
    tensors = {name: value for name, value in model.state_dict().items() if name not in replaced}
    config = model.config.to_dict() | {"architectures": [type(model).__name__]}
    found = binary.Packed(config, dataclasses.asdict(structure), matrices, tensors)
    binary.write(found, tokenizer, Path(folder).expanduser())


def load(folder: str | Path) -> tuple[Any, Any]:
    """Read a binary model: for inference only, its linear layers compute from packed bits.

    Returns
    -------
    (model, tokenizer) : of transformers' class; the tokenizer is None if none was saved.

    Raises
    ------
    InputError : if the folder holds no binary model, or one that is incomplete.
    """
    path = Path(folder).expanduser()
    found = binary.read(path)
    model = blank(path, found.config)
    try:
        structure = Structure(**found.structure)
    except TypeError as error:
        raise InputError("model", f"{path}: its structure is not known: {error}") from error
    binarise(model, structure)
    put(model, found.matrices)
    report = model.load_state_dict(found.tensors, strict=False)
    packed = {f"{name}.{part}" for name in found.matrices for part in ("words", "scale")}
    for name in (*report.missing_keys, *report.unexpected_keys):
        if name not in packed:
            raise InputError("model", f"{path}: {name} is missing, or has no place")
    return model.eval(), tokenizer_of(path)
