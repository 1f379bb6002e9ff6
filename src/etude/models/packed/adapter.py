"""Low-rank products beside a packed base, as the LoRA adapter that peft loads: ``W x + left (right x)``."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from etude.errors import InputError
from etude.models import checkpoint
from etude.models.packed.weight import LowRank, Packed

FOLDER = "adapter"
WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
_PREFIX = "base_model.model."


def write(products: Mapping[str, LowRank], folder: Path) -> None:
    """Write products, by layer, into a new folder: ``lora_B`` is left, ``lora_A`` right, scaled by 1."""
    from safetensors.torch import save_file

    rank = max(product.right.shape[0] for product in products.values())
    tensors = {}
    for name, product in products.items():
        tensors[f"{_PREFIX}{name}.lora_A.weight"] = _padded(product.right, rank, 0)
        tensors[f"{_PREFIX}{name}.lora_B.weight"] = _padded(product.left, rank, 1)
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "inference_mode": True,
        "target_modules": _last_names(products),
    }
    folder.mkdir()
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def attached(layers: Mapping[str, Packed], folder: Path) -> dict[str, Packed]:
    """The weights with the products of the adapter that lies in a checkpoint's folder, if there is one."""
    from safetensors.torch import load_file

    place = folder / FOLDER
    if not (place / WEIGHTS).is_file():
        return dict(layers)
    config = checkpoint.read_json(place / CONFIG)
    scaling = float(config["lora_alpha"]) / float(config["r"])
    tensors = load_file(place / WEIGHTS)
    found = {}
    for name, weight in layers.items():
        left = tensors.get(f"{_PREFIX}{name}.lora_B.weight")
        right = tensors.get(f"{_PREFIX}{name}.lora_A.weight")
        product = None if left is None or right is None else LowRank(left.float() * scaling, right.float())
        found[name] = weight if product is None else dataclasses.replace(weight, low_rank=product)
    return found


def check_apart(name: str, folder: Path) -> None:
    """Raise `InputError` if a checkpoint is a quantised base with products beside it.

    To round its weights again would merge the products into the base, and with them lose its grid: what was
    made up for would be rounded away without a word.
    """
    values = checkpoint.read_config(folder).get("quantization_config") or {}
    layers = values.get("layers", {}) if values.get("quant_method") == "etude" else {}
    if (folder / FOLDER).is_dir() or any(scheme.get("compensated") for scheme in layers.values()):
        raise InputError(
            "model",
            f"{name} is a quantised base with low-rank products beside it; rounding it again would merge "
            "them into the base, whose grid would be lost: quantise the model that it was made from",
        )


def _padded(factor: Tensor, rank: int, dim: int) -> Tensor:
    """A factor with zeros up to ``rank``, for layers narrower than that."""
    shape = list(factor.shape)
    shape[dim] = rank - shape[dim]
    return torch.cat([factor, torch.zeros(shape)], dim).contiguous()


def _last_names(names: Iterable[str]) -> list[str]:
    return sorted({name.rpartition(".")[2] for name in names})
