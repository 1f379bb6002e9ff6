"""Write a packed model of LLaMA's architecture as a GGUF file, which llama.cpp and transformers load."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from torch import Tensor

from etude.errors import InputError
from etude.files import new_folder
from etude.models.packed import gguf_blocks, gguf_vocabulary
from etude.models.packed.weight import Packed, Scheme

NAME = "gguf"
FILE = "model.gguf"
_KINDS = ("llama", "mistral")
_FILE_TYPES = {
    Type.Q4_0: gguf.LlamaFileType.MOSTLY_Q4_0,
    Type.Q4_1: gguf.LlamaFileType.MOSTLY_Q4_1,
    Type.Q5_0: gguf.LlamaFileType.MOSTLY_Q5_0,
    Type.Q5_1: gguf.LlamaFileType.MOSTLY_Q5_1,
    Type.Q8_0: gguf.LlamaFileType.MOSTLY_Q8_0,
}


def check(model: Any, tokenizer: Any) -> None:
    """Raise `InputError` if a model cannot be written: its architecture, or its tokenizer."""
    config = model.config
    if config.model_type not in _KINDS or type(model).__name__[-len("ForCausalLM") :] != "ForCausalLM":
        raise InputError(
            "format", f"{NAME} is written for LLaMA's architecture only, not {config.model_type}"
        )
    rotary = getattr(config, "rope_parameters", None) or {}
    if rotary.get("rope_type", "default") != "default" or getattr(config, "sliding_window", None):
        raise InputError("format", f"{NAME} is written for plain rotary positions and full attention only")
    odd = next(
        (n for n, p in model.named_parameters() if p.ndim == 2 and p.shape[1] % gguf_blocks.SIZE), None
    )
    if odd is not None:
        raise InputError(
            "format", f"{NAME} has blocks of {gguf_blocks.SIZE} inputs, which {odd} does not fill"
        )
    gguf_vocabulary.check(tokenizer)


def write(model: Any, tokenizer: Any, layers: Mapping[str, tuple[Packed, Scheme]], folder: Path) -> None:
    """Write ``model.gguf``, whole or not at all.

    The codes of ``layers`` are written as they are; other matrices (embeddings and head) as ``Q8_0`` where
    they lie on its grid, else in float16; vectors in float32. Queries and keys have their rows in the order
    of llama.cpp's rotary positions.

    Parameters
    ----------
    model, tokenizer : that `check` accepts.
    layers : the weights of linear layers, by dotted name.
    folder : a new or an empty folder.

    Raises
    ------
    InputError : if the folder holds something.
    """
    config = model.config
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    kinds = {name: gguf_blocks.TYPES[scheme.bits, scheme.zeros] for name, (_, scheme) in layers.items()}
    with new_folder(folder) as temporary:
        writer = gguf.GGUFWriter(temporary / FILE, "llama")
        describe(writer, config)
        if kinds:
            writer.add_file_type(_FILE_TYPES[next(iter(kinds.values()))])
        gguf_vocabulary.describe(writer, tokenizer, config.vocab_size)
        tied = config.tie_word_embeddings
        for name, tensor in model.state_dict().items():
            if name == "lm_head.weight" and tied:
                continue
            place = str(names.get_name(name, try_suffixes=(".weight", ".bias")))
            order = interleaved(name, len(tensor), config)
            layer = name.removesuffix(".weight")
            if layer in layers:
                blocks = gguf_blocks.encode(layers[layer][0].taking(order), kinds[layer])
                writer.add_tensor(place, blocks.numpy(), raw_dtype=kinds[layer])
            elif tensor.ndim == 1:
                writer.add_tensor(place, tensor[order].numpy())
            else:
                array, kind = matrix(tensor[order].numpy())
                writer.add_tensor(place, array, raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def describe(writer: gguf.GGUFWriter, config: Any) -> None:
    """Write what the architecture is."""
    writer.add_name(str(getattr(config, "_name_or_path", "")).rpartition("/")[2] or "model")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(head_size(config))
    writer.add_key_length(head_size(config))
    writer.add_value_length(head_size(config))
    writer.add_rope_freq_base(float(config.rope_parameters["rope_theta"]))
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def matrix(values: np.ndarray) -> tuple[np.ndarray, Type | None]:
    """A matrix in 8 bits and their type, if that loses nothing (it came from such a file); else in float16.

    Examples
    --------
    >>> matrix(np.full((1, 32), 127.0, dtype=np.float32))[1].name
    'Q8_0'
    """
    blocks = gguf.quantize(values, Type.Q8_0)
    if np.array_equal(gguf.dequantize(blocks, Type.Q8_0), values):
        return blocks, Type.Q8_0
    return values.astype(np.float16), None


def interleaved(name: str, rows: int, config: Any) -> Tensor:
    """The order in which llama.cpp has the rows of a tensor: halves of heads are interleaved in q and k.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> config = SimpleNamespace(head_dim=4)
    >>> interleaved("q_proj.weight", 8, config)
    tensor([0, 2, 1, 3, 4, 6, 5, 7])
    """
    order = torch.arange(rows)
    if not {"q_proj", "k_proj"} & set(name.split(".")):
        return order
    return order.view(-1, 2, head_size(config) // 2).transpose(1, 2).reshape(-1)


def head_size(config: Any) -> int:
    """Features of an attention head."""
    size = getattr(config, "head_dim", None)
    return int(size or config.hidden_size // config.num_attention_heads)
