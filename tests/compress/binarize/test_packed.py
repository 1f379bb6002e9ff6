"""Bits on disk and in products: the same numbers as in floating point."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from etude.compress.binarize.attention import Structure
from etude.compress.binarize.checks import corpus, pairs
from etude.compress.binarize.encoder import binarise
from etude.compress.binarize.layers import BinaryEmbedding, BinaryLinear
from etude.compress.binarize.packed import PackedEmbedding, PackedLinear, agreement, bits_of, pack
from etude.compress.binarize.saving import load, save
from etude.compress.binarize.signs import signs
from etude.compress.quantize.formats.binary import Bits
from etude.errors import InputError


@pytest.mark.parametrize("features", [1, 31, 32, 33, 64, 192, 200])
def test_counting_bits_is_multiplying_signs(features: int) -> None:
    draw = torch.Generator().manual_seed(features)
    left, right = (signs(torch.randn(rows, features, generator=draw)) for rows in (600, 7))
    found = agreement(bits_of(left > 0), bits_of(right > 0), features)
    assert torch.equal(found, (left @ right.T).int())
    hamming = (left[:, None] != right[None]).sum(-1)
    assert torch.equal(found, (features - 2 * hamming).int())


@pytest.mark.parametrize("rows", [3, 100])
@pytest.mark.parametrize("width", [32, 40])
@torch.no_grad()
def test_a_packed_layer_is_the_binary_layer(width: int, rows: int) -> None:
    torch.manual_seed(width)
    layer = BinaryLinear(nn.Linear(width, 12), elastic=True)
    layer.inputs.shift.copy_(torch.randn(width))
    x = torch.randn(rows, 5, width)
    expected = layer(x)  # sets the scale
    bits = Bits.of(signs(layer.weight - layer.weight.mean()), layer.weight.abs().mean().reshape(1))
    assert torch.equal(PackedLinear(bits, layer)(x), expected)
    with torch.enable_grad():
        torch.testing.assert_close(layer(x), expected)


@torch.no_grad()
def test_a_packed_embedding_is_the_binary_embedding() -> None:
    torch.manual_seed(0)
    embedding = BinaryEmbedding(nn.Embedding(20, 40))
    holder = nn.ModuleDict({"words": embedding})
    ids = torch.randint(20, (3, 4))
    assert torch.equal(PackedEmbedding(pack(holder)["words"])(ids), embedding(ids))


def test_a_file_holds_a_bit_a_weight(tmp_path: Path) -> None:
    torch.manual_seed(0)
    weight = torch.randn(256, 512)
    bits = Bits.of(weight, weight.abs().mean().reshape(1))
    assert bits.stored_bits() == weight.numel() + 32
    assert torch.equal(bits.matrix() > 0, weight > 0)


@pytest.mark.parametrize("structure", [Structure(), Structure(rank=2), Structure(False, "bool")])
@torch.no_grad()
def test_a_saved_model_computes_from_bits_what_it_computed(structure: Structure, tmp_path: Path) -> None:
    model = pairs()
    binarise(model, structure)
    ids = corpus()["input_ids"]
    expected = model.eval()(input_ids=ids)
    save(model, None, tmp_path / "binary")
    loaded, tokenizer = load(tmp_path / "binary")
    assert tokenizer is None
    assert not any(isinstance(module, (BinaryLinear, BinaryEmbedding)) for module in loaded.modules())
    found = loaded(input_ids=ids)
    assert torch.equal(found.prediction_logits, expected.prediction_logits)
    assert torch.equal(found.seq_relationship_logits, expected.seq_relationship_logits)


def test_what_is_not_binary_is_not_saved_and_not_loaded(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not binary"):
        save(pairs(), None, tmp_path / "none")
    pairs().save_pretrained(tmp_path / "plain")
    with pytest.raises(InputError, match="no checkpoint of etude-binary"):
        load(tmp_path / "plain")
    with pytest.raises(InputError, match=r"config\.json"):
        load(tmp_path / "nowhere")


def test_a_file_that_lacks_bits_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    model = pairs()
    binarise(model, Structure())
    save(model, None, tmp_path / "binary")
    weights = tmp_path / "binary" / "model.safetensors"
    tensors = load_file(weights)
    name = next(name for name in tensors if name.endswith(".bits"))
    save_file({key: value for key, value in tensors.items() if key != name}, weights)
    with pytest.raises(InputError, match=name.removesuffix(".bits")):
        load(tmp_path / "binary")
