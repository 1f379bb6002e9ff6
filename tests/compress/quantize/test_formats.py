"""Packed checkpoints: what readers compute is what the quantised model computes, Etude's and others'."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from safetensors.torch import load_file

from etude import models
from etude.compress.quantize import (
    Awq,
    FullPrecision,
    Gptq,
    LlmFp4,
    Lorc,
    Rtn,
    SmoothQuant,
    ZeroQuant,
    ZeroQuantFP,
    formats,
)
from etude.compress.quantize.grids import Binary, split
from etude.compress.quantize.quantized import Quantized, packed_bytes
from etude.errors import InputError
from etude.models.blocks import block_linears
from etude.models.measure import size_in_bytes
from etude.models.packed import compressed_tensors
from etude.models.packed.linear import PackedLinear

from .models import gpt2, llama, logits, opt, random, tokens

CASES: list[tuple[Any, Any]] = [
    ("compressed-tensors", Rtn(bits=4, group=16, symmetric=True)),
    ("compressed-tensors", Rtn(bits=3, group="channel")),
    ("compressed-tensors", Rtn(bits=8, group="tensor", symmetric=True)),
    ("compressed-tensors", Rtn(bits=8, numbers="e4m3", group="channel")),
    ("compressed-tensors", Rtn(bits=4, numbers="e2m1", group=32, scales="power-of-two")),
    ("compressed-tensors", Rtn(numbers="e2m1", group=16, scales="float8", search="error")),
    ("compressed-tensors", Awq(numbers="e2m1", group=16, scales="float8")),
    ("compressed-tensors", Gptq(numbers="e2m1", group=16, scales="float8")),
    ("compressed-tensors", Rtn(numbers="e2m1", group="channel", scales="power-of-two")),
    ("compressed-tensors", Gptq(group=16, act_order=True, static_groups=True)),
    ("compressed-tensors", Lorc(bits=3, rank=4)),
    ("awq", Rtn(bits=4, group=16)),
    ("gptq", Rtn(bits=3, group=32, symmetric=True)),
    ("gptq", Gptq(bits=4, group=16, act_order=True)),
    ("gptq", Lorc(bits=4, rank=2)),
    ("etude", Rtn(bits=5, numbers="e3m1", group=16)),
    ("etude", Rtn(bits=3, group=16, convention="gguf", rank=2)),
    ("etude", Gptq(bits=2, group=16, act_order=True)),
    ("etude", Gptq(numbers="e2m1", group=16, scales="float8", act_order=True)),
]


def _name(value: Any) -> str:
    return value if isinstance(value, str) else f"{value.name}-{value.bits}-{value.group}-{value.numbers}"


@pytest.mark.parametrize(("name", "method"), CASES, ids=_name)
def test_etude_loads_what_it_writes(name: Any, method: Any, tmp_path: Path) -> None:
    model = llama(kv_heads=4, tie_word_embeddings=True)
    formats.check(name, method, model, None)
    stored = method.quantize(model, tokens())
    formats.write(name, model, None, stored, tmp_path / "model")
    packed, _ = models.load(tmp_path / "model", kernel="decode")
    assert sum(isinstance(module, PackedLinear) for module in packed.modules()) == len(stored)
    assert "lm_head.weight" not in load_file(tmp_path / "model" / "model.safetensors")
    dense, _ = models.load(tmp_path / "model", packed=False)
    for again in (packed, dense):
        torch.testing.assert_close(logits(again), logits(model), rtol=1e-5, atol=1e-5)
    assert size_in_bytes(packed) < 0.6 * size_in_bytes(dense)
    with pytest.raises(InputError, match=r"model: .* is packed"):
        models.save(packed, None, tmp_path / "again")


def test_inputs_are_rounded_as_the_configuration_says(tmp_path: Path) -> None:
    """So that checkpoints of others, which have no file of Etude's beside them, mean the same."""
    model, method = llama(), SmoothQuant()
    formats.check("compressed-tensors", method, model, None)
    formats.write("compressed-tensors", model, None, method.quantize(model, tokens()), tmp_path / "model")
    (tmp_path / "model" / "etude_inputs.json").unlink()
    for packed in (True, False):
        again, _ = models.load(tmp_path / "model", packed=packed, kernel="decode")
        torch.testing.assert_close(logits(again), logits(model), rtol=1e-5, atol=1e-5)
    for name in ("awq", "gptq", "gguf"):
        with pytest.raises(InputError, match="format"):
            formats.check(name, ZeroQuant(bits=4, group=16), model, None)
    with pytest.raises(InputError, match=r"format: compressed-tensors rounds inputs by token"):
        formats.check("compressed-tensors", SmoothQuant(activation_range="static"), model, None)


@pytest.mark.parametrize("make", [gpt2, opt])
def test_other_architectures_with_biases_and_transposed_layers(make: Any, tmp_path: Path) -> None:
    model, method = make(), Rtn(bits=4, group=16)
    formats.write("etude", model, None, method.quantize(model), tmp_path / "model")
    for packed in (True, False):
        again, _ = models.load(tmp_path / "model", packed=packed, kernel="decode")
        torch.testing.assert_close(logits(again), logits(model), rtol=1e-5, atol=1e-5)


def test_single_bits_and_another_width_in_every_layer(tmp_path: Path) -> None:
    model = llama()
    stored = {}
    for i, linear in enumerate(block_linears(model)):
        grid, by = (Binary(centred=True), 16) if i % 2 else (Rtn(bits=2 + i % 7).grid, "channel")
        groups = split(linear.weight, by)
        stored[linear.name] = Quantized.nearest(linear.weight, grid, by, grid.fit(groups))
        linear.weight.copy_(stored[linear.name].weight())
    formats.write("etude", model, None, stored, tmp_path / "model")
    again, _ = models.load(tmp_path / "model", kernel="decode")
    torch.testing.assert_close(logits(again), logits(model), rtol=1e-5, atol=1e-5)
    with pytest.raises(InputError, match=r"format: awq holds"):
        formats.write("awq", model, None, stored, tmp_path / "awq")


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 8])
@pytest.mark.parametrize("group", [16, "channel", "tensor"])
@pytest.mark.parametrize("symmetric", [False, True])
def test_compressed_tensors_own_library_decodes_the_same(bits: int, group: Any, symmetric: bool) -> None:
    pytest.importorskip("compressed_tensors")
    stored = Rtn(bits=bits, group=group, symmetric=symmetric).nearest(random(12, 32))
    compressor, scheme = _library(stored)
    tensors = compressed_tensors.encode(stored.packed(), stored.scheme())
    found = compressor.decompress(tensors, scheme)["weight"]
    torch.testing.assert_close(found.float(), stored.base(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("scales", "group"),
    [("power-of-two", 32), ("power-of-two", "channel"), ("float8", 16), ("float8", "channel")],
)
def test_compressed_tensors_own_library_decodes_fp4_the_same(scales: Any, group: Any) -> None:
    pytest.importorskip("compressed_tensors")
    weight = random(12, 64) * torch.exp2(torch.arange(12.0)[:, None] - 6)
    stored = Rtn(numbers="e2m1", group=group, scales=scales).nearest(weight)
    compressor, scheme = _library(stored)
    tensors = compressed_tensors.encode(stored.packed(), stored.scheme())
    assert torch.equal(compressor.decompress(tensors, scheme)["weight"].float(), stored.base())


def test_compressed_tensors_own_library_rounds_to_nvfp4_the_same() -> None:
    """Where what it divides all scales by is a power of two, as ours always is."""
    pytest.importorskip("compressed_tensors")
    from compressed_tensors.quantization.utils.helpers import calculate_qparams, generate_gparam

    weight = random(12, 64)
    weight *= 6 * 448 / 2**12 / weight.abs().max()
    stored = Rtn(numbers="e2m1", group=16, scales="float8").nearest(weight)
    compressor, scheme = _library(stored)
    low, high = (split(weight, 16).amin(-1), split(weight, 16).amax(-1))
    shared = generate_gparam(low.min(), high.max())
    scale, _ = calculate_qparams(low, high, scheme.weights, global_scale=shared)
    state = {"weight": weight, "weight_scale": scale.float(), "weight_global_scale": shared}
    theirs = compressor.compress(state, scheme)
    ours = compressed_tensors.encode(stored.packed(), stored.scheme())
    assert torch.equal(theirs["weight_scale"].float(), ours["weight_scale"].float())
    assert torch.equal(theirs["weight_global_scale"], ours["weight_global_scale"])
    assert torch.equal(compressor.decompress(theirs, scheme)["weight"].float(), stored.base())


def _library(stored: Quantized) -> tuple[Any, Any]:
    """What packs and unpacks in compressed-tensors, and how it is told of a layer."""
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationScheme

    config = compressed_tensors.configuration({"layer": stored.scheme()}, [])
    scheme = QuantizationScheme(**config["config_groups"]["group_0"])
    return BaseCompressor.get_value_from_registry(config["format"]), scheme


@pytest.mark.parametrize("scales", ["power-of-two", "float8"])
def test_llm_fp4_is_written_where_another_layout_has_its_numbers(scales: Any, tmp_path: Path) -> None:
    model, quick = llama(kv_heads=4), {"rounds": 1, "stride": 32, "judged": 64}
    method = LlmFp4(numbers="e2m1", activations="none", scales=scales, **quick)
    formats.check("compressed-tensors", method, model, None)
    stored = method.quantize(model, tokens())
    formats.write("compressed-tensors", model, None, stored, tmp_path / "model")
    again, _ = models.load(tmp_path / "model", kernel="decode")
    torch.testing.assert_close(logits(again), logits(model), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("field", "settings"),
    [
        ("numbers", {"activations": "none"}),
        ("activations", {"numbers": "e2m1", "scales": "float8"}),
        ("format", {"numbers": "e2m1", "activations": "none"}),
        ("format", {"numbers": "e3m0", "activations": "none", "scales": "float8"}),
    ],
)
def test_llm_fp4_is_refused_elsewhere(field: str, settings: dict[str, Any]) -> None:
    with pytest.raises(InputError) as error:
        formats.check("compressed-tensors", LlmFp4(**settings), llama(), None)
    assert error.value.field == field


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "decoded"),
    [
        (Rtn(bits=4, group=64, symmetric=True), False),
        (Rtn(bits=3, group="channel", symmetric=True), False),
        (Rtn(bits=8, group="channel", symmetric=True), False),
        (Rtn(bits=8, numbers="e4m3", group="channel"), False),
        (Rtn(bits=4, numbers="e2m1", group=32, scales="power-of-two"), True),
        (Rtn(bits=4, numbers="e2m1", group=16, scales="float8"), True),
        (Rtn(bits=4, group=64), True),
        (SmoothQuant(), False),
        (ZeroQuant(bits=4), False),
        (ZeroQuantFP(bits=8, numbers="e4m3", group="channel", rank=0), False),
    ],
)
def test_transformers_loads_compressed_tensors(method: Any, decoded: bool, tmp_path: Path) -> None:
    """As it is or, where it can only so, decoded at loading, to the precision of a float16 weight."""
    pytest.importorskip("compressed_tensors")
    from transformers import AutoModelForCausalLM, CompressedTensorsConfig

    model, tokenizer = models.load("nano-llama")
    calibration = {"input_ids": torch.arange(64).view(2, 32)}
    stored = method.quantize(model, calibration)
    formats.write("compressed-tensors", model, tokenizer, stored, tmp_path / "model")
    settings = {"quantization_config": CompressedTensorsConfig(dequantize=True)} if decoded else {}
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32, **settings)
    difference = (logits_of(theirs) - logits_of(model)).abs().max()
    assert difference <= (0.01 if decoded else 0)


@pytest.mark.parametrize(
    ("method", "limit"),
    [(Rtn(bits=4, group=64), 0.02), (Rtn(bits=5, group=32, symmetric=True, convention="gguf"), 1e-4)],
)
def test_llama_cpp_and_transformers_load_gguf(method: Any, limit: float, tmp_path: Path) -> None:
    """llama.cpp rounds inputs to 8 bits; of the others only minima are rounded, to float16."""
    model, tokenizer = models.load("nano-llama")
    formats.check("gguf", method, model, tokenizer)
    formats.write("gguf", model, tokenizer, method.quantize(model), tmp_path / "model")
    file, ours = tmp_path / "model" / "model.gguf", logits_of(model)
    again, words = models.load(file)  # through transformers
    assert (logits_of(again) - ours).abs().max() < limit
    packed, _ = models.load(file, packed=True, kernel="decode")
    assert (logits_of(packed) - ours).abs().max() < limit
    text = "It was the best of times, it's 1842 -- and the worst…\n\nNew  paragraph."
    assert words(text)["input_ids"] == tokenizer(text)["input_ids"]
    llama_cpp = pytest.importorskip("llama_cpp")
    theirs = llama_cpp.Llama(str(file), n_ctx=64, n_threads=1, logits_all=True, verbose=False)
    for token in range(32):  # one by one: some builds fail on several where AMX is listed but not allowed
        theirs.eval([token])
    found = torch.tensor(theirs.scores[:32])
    assert (found - ours[0]).norm() < 0.01 * ours.norm()
    assert theirs.tokenize(text.encode(), add_bos=False) == tokenizer(text)["input_ids"]


def test_gguf_keeps_embeddings_in_8_bits_where_that_loses_nothing(tmp_path: Path) -> None:
    model, tokenizer = models.load("nano-llama")
    weight = model.get_input_embeddings().weight
    kind = gguf.GGMLQuantizationType.Q8_0
    weight.data = torch.from_numpy(gguf.dequantize(gguf.quantize(weight.detach().numpy(), kind), kind))
    stored = Rtn(bits=5, group=32, symmetric=True, convention="gguf").quantize(model)
    formats.write("gguf", model, tokenizer, stored, tmp_path / "model")
    tensors = gguf.GGUFReader(tmp_path / "model" / "model.gguf").tensors
    assert next(tensor for tensor in tensors if tensor.name == "token_embd.weight").tensor_type is kind
    again, _ = models.load(tmp_path / "model" / "model.gguf", packed=True, kernel="decode")
    torch.testing.assert_close(logits_of(again), logits_of(model), rtol=1e-5, atol=1e-5)


def logits_of(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=torch.arange(32)[None]).logits.float()
        return found


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("compressed-tensors", Rtn(bits=4, group=32)),
        ("compressed-tensors", Rtn(bits=3, group=64, symmetric=True)),
        ("compressed-tensors", Rtn(bits=8, group="channel", symmetric=True)),
        ("awq", Rtn(bits=4, group=64)),
        ("gptq", Rtn(bits=3, group=64)),
        ("etude", Rtn(bits=3, group=64)),
        ("etude", Rtn(bits=5, numbers="e3m1", group=64)),
        ("etude", Rtn(bits=4, group=32, scales="power-of-two")),
        ("compressed-tensors", Rtn(numbers="e2m1", group=16, scales="float8")),
    ],
    ids=_name,
)
def test_bytes_on_disk_are_bits_times_weights_and_scales(name: Any, method: Any, tmp_path: Path) -> None:
    model = llama(hidden=512)
    stored = method.quantize(model)
    formats.write(name, model, None, stored, tmp_path / "model")
    file = tmp_path / "model" / "model.safetensors"
    header = int.from_bytes(file.read_bytes()[:8], "little") + 8
    assert file.stat().st_size - header == pytest.approx(packed_bytes(model, stored), rel=0.03)


def test_gguf_is_as_large_as_its_blocks(tmp_path: Path) -> None:
    model, tokenizer = models.load("nano-llama")
    linears = sum(linear.weight.numel() for linear in block_linears(model))
    others = sum(p.numel() * (2 if p.ndim == 2 else 4) for p in model.parameters()) - 2 * linears
    formats.write("gguf", model, tokenizer, Rtn(group=32).quantize(model), tmp_path / "model")
    words = 60_000  # the vocabulary
    size = (tmp_path / "model" / "model.gguf").stat().st_size
    assert size == pytest.approx(linears * 20 / 32 + others + words, rel=0.03)


def test_what_a_format_cannot_hold_is_refused() -> None:
    small, tokenizer = models.load("nano-llama")
    cases: list[tuple[Any, Any, Any]] = [
        ("compressed-tensors", Rtn(numbers="e2m1", group=16), llama()),
        ("compressed-tensors", Rtn(convention="gguf", group=16), llama()),
        ("compressed-tensors", Rtn(group=16), gpt2()),
        ("compressed-tensors", Gptq(group=16, act_order=True), llama()),
        ("awq", Rtn(bits=3, group=16), llama()),
        ("gptq", Rtn(bits=5, group=16), llama()),
        ("gguf", Rtn(bits=4, group=64), gpt2()),
        ("gguf", Rtn(bits=3, group=64), small),
        ("gguf", Rtn(bits=4, group=64, rank=2), small),
    ]
    for name, method, model in cases:
        with pytest.raises(InputError) as error:
            formats.check(name, method, model, tokenizer)
        assert error.value.field == "format"
    formats.check("awq", FullPrecision(), gpt2(), None)
    formats.check("etude", Rtn(numbers="e2m1", group=16), gpt2(), None)
    with pytest.raises(InputError, match="format: gguf needs a tokenizer"):
        formats.check("gguf", Rtn(group=64), small, None)


def test_damaged_packed_checkpoints_are_refused(tmp_path: Path) -> None:
    model = llama()
    formats.write("awq", model, None, Rtn(group=16).quantize(model), tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_text())
    for change, message in (
        ({"quant_method": "bitsandbytes"}, "quantised by 'bitsandbytes'"),
        ({"version": "gemv"}, "'gemv'"),
    ):
        changed = config | {"quantization_config": config["quantization_config"] | change}
        path.write_text(json.dumps(changed))
        with pytest.raises(InputError, match=message):
            models.load(tmp_path / "model")
    path.write_text(json.dumps(config | {"intermediate_size": 128}))
    with pytest.raises(InputError, match=r"packed layer .* is \(32, 64\), not \(32, 128\)"):
        models.load(tmp_path / "model")
    path.write_text(json.dumps(config))
    with pytest.raises(InputError, match="kernel: unknown"):
        models.load(tmp_path / "model", kernel="fast")
