"""The format of compressed-tensors, which transformers and vLLM load.

Whole numbers only: ``pack-quantized`` (2 to 8 bits without gaps in 32-bit words, as version 0.20 has it;
2, 4 and 8 bits are the same in all versions), or ``int-quantized`` (int8, one to
a byte) for 8 bits, symmetric, with a scale for each row or for the whole tensor. A low-rank product lies
beside the base in ``adapter``, as a LoRA adapter for the decoded base.

With zero points a checkpoint is what the library's own compressor makes and decodes, but transformers 5.24
with compressed-tensors 0.19 and 0.20 does not load such files, the library's own neither: it expects the zero
points unpacked. Symmetric checkpoints load exactly.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from etude.compress.quantize.formats.packing import packed, unpacked
from etude.compress.quantize.gptq import Gptq
from etude.compress.quantize.grids import Integers
from etude.compress.quantize.quantized import Quantized
from etude.compress.quantize.weights import WeightFormat
from etude.errors import InputError
from etude.files import new_folder
from etude.models.blocks import block_linears, is_transposed

NAME = "compressed-tensors"
ADAPTER = "adapter"


def check(method: Any, model: nn.Module) -> None:
    """Raise `InputError` if this format cannot hold what ``method`` makes of ``model``."""
    if not isinstance(method, WeightFormat):
        return
    if not isinstance(method.grid, Integers):
        raise InputError("format", f"{NAME} is written for integers only, not {method.numbers}; use dense")
    if method.convention == "gguf" and not method.symmetric:
        raise InputError("format", f"{NAME} has whole zero points, which convention gguf has not; use dense")
    if (
        isinstance(method, Gptq)
        and method.act_order
        and not (method.static_groups or method.group == "channel")
    ):
        raise InputError(
            "format", f"{NAME} has only groups of consecutive columns; set static_groups, or use dense"
        )
    transposed = next((x.name for x in block_linears(model) if is_transposed(x.module)), None)
    if transposed is not None:
        raise InputError("format", f"{NAME} does not know transposed layers such as {transposed}; use dense")


def write(model: Any, tokenizer: Any, stored: Mapping[str, Quantized], folder: Path) -> None:
    """Write a quantised model as a checkpoint, whole or not at all.

    Parameters
    ----------
    model : a ``PreTrainedModel``; layers that are not in ``stored`` are written as they are.
    tokenizer : its tokenizer, or None.
    stored : what is stored of each quantised layer, of one grid and granularity; not empty.
    folder : a new or an empty folder.

    Raises
    ------
    InputError : if the folder holds something.
    """
    from safetensors.torch import save_file

    dropped = set(getattr(model, "_tied_weights_keys", None) or ()) if _tied(model) else set()
    tensors = {
        name: value.contiguous()
        for name, value in model.state_dict().items()
        if name not in dropped and name.removesuffix(".weight") not in stored
    }
    for name, layer in stored.items():
        tensors |= {f"{name}.{part}": value for part, value in encode(layer).items()}
    config = model.config.to_dict() | {"quantization_config": configuration(model, stored)}
    config |= {"architectures": [type(model).__name__]}
    with new_folder(folder) as temporary:
        (temporary / "config.json").write_text(json.dumps(config, indent=2, default=str) + "\n")
        save_file(tensors, temporary / "model.safetensors", metadata={"format": "pt"})
        if model.can_generate():
            model.generation_config.save_pretrained(temporary)
        if tokenizer is not None:
            tokenizer.save_pretrained(temporary)
        if any(layer.low_rank is not None for layer in stored.values()):
            _write_adapter(stored, temporary / ADAPTER)


def encode(layer: Quantized) -> dict[str, Tensor]:
    """The tensors of one layer, by name."""
    grid = _integers(layer)
    half = 2 ** (grid.bits - 1)
    scale = layer.scale.to(torch.float32 if grid.scales == "float32" else torch.float16).contiguous()
    if _as_bytes(layer):
        weight = (layer.codes.to(torch.int16) - half).to(torch.int8)
        return {"weight": weight, "weight_scale": scale.reshape(-1) if layer.by == "tensor" else scale}
    tensors = {
        "weight_packed": packed(layer.codes, grid.bits),
        "weight_scale": scale.reshape(-1) if layer.by == "tensor" else scale,
        "weight_shape": torch.tensor(layer.shape),
    }
    if layer.zero is not None and layer.by == "tensor":
        tensors["weight_zero_point"] = (layer.zero.reshape(-1) - half).to(torch.int8)
    elif layer.zero is not None:
        tensors["weight_zero_point"] = packed(layer.zero.T, grid.bits).T.contiguous()
    return tensors


def decode(tensors: Mapping[str, Tensor], bits: int) -> Tensor:
    """The weight of a layer from its tensors, float32 ``[out, in]``: what a reader of the format computes."""
    scale = tensors["weight_scale"].float()
    scale = scale.reshape(1, 1) if scale.ndim == 1 else scale
    if "weight" in tensors:
        return tensors["weight"].float() * scale
    columns = int(tensors["weight_shape"][1])
    level = unpacked(tensors["weight_packed"], bits, columns).float()
    groups = scale.shape[1]
    zero = torch.full_like(scale, 2 ** (bits - 1))
    point = tensors.get("weight_zero_point")
    if point is not None:
        zero = zero + point if point.ndim == 1 else unpacked(point.T, bits, len(scale)).T.float()
    index = torch.arange(columns) // (columns // groups)
    return (level - zero[:, index]) * scale[:, index]


def configuration(model: nn.Module, stored: Mapping[str, Quantized]) -> dict[str, Any]:
    """The ``quantization_config`` of a checkpoint."""
    layer = next(iter(stored.values()))
    weights: dict[str, Any] = {
        "num_bits": layer.grid.bits,
        "type": "int",
        "symmetric": layer.zero is None,
        "strategy": "group" if isinstance(layer.by, int) else layer.by,
        "group_size": layer.by if isinstance(layer.by, int) else None,
        "dynamic": False,
        "actorder": None,
    }
    kind = "int-quantized" if _as_bytes(layer) else "pack-quantized"
    others = [name for name, x in model.named_modules() if isinstance(x, nn.Linear) and name not in stored]
    scheme = {"targets": ["Linear"], "weights": weights, "input_activations": None, "format": kind}
    return {
        "quant_method": NAME,
        "format": kind,
        "quantization_status": "compressed",
        "ignore": others,
        "config_groups": {"group_0": scheme},
    }


def _write_adapter(stored: Mapping[str, Quantized], folder: Path) -> None:
    """A LoRA adapter whose factors are the low-rank products: lora_B = left, lora_A = right, scaled by 1."""
    from safetensors.torch import save_file

    products = {name: layer.low_rank for name, layer in stored.items() if layer.low_rank is not None}
    rank = max(product.rank for product in products.values())
    tensors = {}
    for name, product in products.items():
        tensors[f"base_model.model.{name}.lora_A.weight"] = _padded(product.right, rank, 0)
        tensors[f"base_model.model.{name}.lora_B.weight"] = _padded(product.left, rank, 1)
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
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})


def _padded(factor: Tensor, rank: int, dim: int) -> Tensor:
    """A factor with zeros up to ``rank``, for layers narrower than that."""
    shape = list(factor.shape)
    shape[dim] = rank - shape[dim]
    return torch.cat([factor, torch.zeros(shape)], dim).contiguous()


def _last_names(names: Iterable[str]) -> list[str]:
    return sorted({name.rpartition(".")[2] for name in names})


def _integers(layer: Quantized) -> Integers:
    assert isinstance(layer.grid, Integers)  # `check` has seen to it
    return layer.grid


def _as_bytes(layer: Quantized) -> bool:
    return layer.grid.bits == 8 and layer.zero is None and isinstance(layer.by, str)


def _tied(model: Any) -> bool:
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    return head is not None and head.weight is embedding.weight
