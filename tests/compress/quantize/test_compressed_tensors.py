"""Packed checkpoints: what a reader decodes is what the model computes with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from etude.compress.quantize import Awq, FullPrecision, Gptq, Lorc, Rtn
from etude.compress.quantize.formats import compressed_tensors as ct
from etude.compress.quantize.formats.packing import packed, unpacked
from etude.compress.quantize.quantized import packed_bytes
from etude.errors import InputError

from .models import gpt2, llama, logits, random, tokens


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 8), st.integers(1, 5), st.integers(1, 40), st.integers(0, 10**6))
def test_codes_come_back(bits: int, rows: int, columns: int, seed: int) -> None:
    codes = torch.randint(2**bits, (rows, columns), generator=torch.Generator().manual_seed(seed))
    words = packed(codes, bits)
    assert words.dtype == torch.int32 and words.shape == (rows, -(-columns * bits // 32))
    assert torch.equal(unpacked(words, bits, columns), codes.to(torch.uint8))


@settings(deadline=None, max_examples=40)
@given(
    st.integers(2, 8),
    st.sampled_from([16, "channel", "tensor"]),
    st.booleans(),
    st.sampled_from(["compressed-tensors", "awq"]),
)
def test_decodes_to_the_weight_of_the_model(bits: int, group: Any, symmetric: bool, convention: Any) -> None:
    method = Rtn(bits=bits, group=group, symmetric=symmetric, convention=convention)
    stored = method.nearest(random(12, 32))
    torch.testing.assert_close(ct.decode(ct.encode(stored), bits), stored.base(), rtol=0, atol=0)


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 8])
@pytest.mark.parametrize("group", [16, "channel", "tensor"])
@pytest.mark.parametrize("symmetric", [False, True])
def test_the_format_s_own_library_decodes_the_same(bits: int, group: Any, symmetric: bool) -> None:
    library = pytest.importorskip("compressed_tensors")
    from compressed_tensors.compressors import BaseCompressor

    stored = Rtn(bits=bits, group=group, symmetric=symmetric).nearest(random(12, 32))
    config = ct.configuration(torch.nn.Module(), {"layer": stored})
    scheme = library.quantization.QuantizationScheme(**config["config_groups"]["group_0"])
    compressor = BaseCompressor.get_value_from_registry(config["format"])
    found = compressor.decompress(ct.encode(stored), scheme)["weight"]
    torch.testing.assert_close(found.float(), stored.base(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "method",
    [
        Awq(bits=4, group=16),
        Gptq(group=16, act_order=True, static_groups=True),
        Rtn(bits=8, group="channel", symmetric=True),
        Lorc(bits=3, rank=4),
    ],
)
def test_checkpoint(method: Any, tmp_path: Path) -> None:
    model = llama(tie_word_embeddings=True)
    stored = method.quantize(model, tokens())
    ct.check(method, model)
    ct.write(model, None, stored, tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())["quantization_config"]
    tensors = load_file(tmp_path / "model" / "model.safetensors")
    assert config["ignore"] == ["lm_head"]
    assert config["format"] == ("int-quantized" if method.bits == 8 else "pack-quantized")
    assert "lm_head.weight" not in tensors
    fresh = llama(tie_word_embeddings=True)
    state = {name: value for name, value in tensors.items() if name in fresh.state_dict()}
    adapter = tmp_path / "model" / "adapter" / "adapter_model.safetensors"
    factors = load_file(adapter) if adapter.exists() else {}
    for name in stored:
        parts = {part: tensors[f"{name}.{part}"] for part in _parts(tensors, name)}
        weight = ct.decode(parts, method.bits)
        if factors:
            a, b = (factors[f"base_model.model.{name}.lora_{x}.weight"] for x in "AB")
            weight = weight + b @ a
        state[f"{name}.weight"] = weight
    fresh.load_state_dict(state, strict=False)
    torch.testing.assert_close(logits(fresh), logits(model), rtol=1e-5, atol=1e-5)


def _parts(tensors: dict[str, torch.Tensor], name: str) -> list[str]:
    return [key.removeprefix(f"{name}.") for key in tensors if key.startswith(f"{name}.")]


def test_bytes_on_disk_are_those_that_are_counted(tmp_path: Path) -> None:
    model = llama(hidden=128)
    stored = Rtn(bits=4, group=32).quantize(model)
    ct.write(model, None, stored, tmp_path / "model")
    written = (tmp_path / "model" / "model.safetensors").stat().st_size
    header = int.from_bytes((tmp_path / "model" / "model.safetensors").read_bytes()[:8], "little") + 8
    assert (written - header) == pytest.approx(packed_bytes(model, stored), rel=0.03)


def test_what_the_format_cannot_hold_is_refused() -> None:
    for method, model in (
        (Rtn(numbers="e2m1", group=16), llama()),
        (Rtn(convention="gguf", group=16), llama()),
        (Rtn(group=16), gpt2()),
        (Gptq(group=16, act_order=True), llama()),
    ):
        with pytest.raises(InputError) as error:
            ct.check(method, model)
        assert error.value.field == "format"
    ct.check(FullPrecision(), gpt2())
