"""Aggregators as files: tensors in safetensors, facts in JSON; nothing is pickled."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from etude.errors import InputError
from etude.estimate.quantile.combined import Combined, rebuilt
from etude.files import new_folder


def save(combined: Combined, folder: Path) -> None:
    """Write a fitted aggregator into a new folder: ``aggregator.safetensors`` and ``aggregator.json``."""
    with new_folder(folder) as temporary:
        write(combined, temporary)


def write(combined: Combined, folder: Path) -> None:
    """The same into a folder that is there."""
    tensors, facts = combined.state()
    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "aggregator.safetensors"
    )
    (folder / "aggregator.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def load(folder: Path) -> Combined:
    """The aggregator that `save` wrote.

    Raises
    ------
    InputError : naming ``folder``, if it holds no such thing.
    """
    try:
        facts = json.loads((folder / "aggregator.json").read_text(encoding="utf-8"))
        return rebuilt(load_file(folder / "aggregator.safetensors"), facts)
    except (OSError, KeyError, TypeError, RuntimeError, json.JSONDecodeError, SafetensorError) as error:
        raise InputError("folder", f"{folder} holds no aggregator: {error}") from error
