"""Encoders with adapters: what is shared, what stays to the bit, and what a language adds."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import XLMRobertaConfig, XLMRobertaModel

from etude.data.masked import IGNORED
from etude.errors import InputError
from etude.search.modular import encoder as modular
from etude.search.modular.backbones import BACKBONES, make
from etude.search.modular.encoder import Modular, adapters, extended, freeze, plugged
from etude.search.modular.pretraining import Schedule, masked_loss, pretrain, teach
from etude.search.modular.vocabulary import extension

ROWS = Schedule(steps=3, batch=2, length=16)
DUTCH = ["Alle mensen worden vrij en gelijk in waardigheid en rechten geboren."]


def states(encoder: Modular, text: str, language: str) -> Tensor:
    found = encoder.reader(language)([text], return_tensors="pt")
    with torch.no_grad():
        return encoder.hidden(
            found["input_ids"], found["attention_mask"], torch.tensor([encoder.number(language)])
        )


def dutch(encoder: Modular) -> Any:
    return extension(encoder.tokenizer, DUTCH, 80, encoder.model.config.vocab_size)


def test_a_recipe_makes_the_same_backbone_again(backbone: Modular) -> None:
    again = make(BACKBONES["tiny-xmod"])
    assert again.languages == ["en", "de", "es"]
    for (name, tensor), other in zip(
        backbone.model.state_dict().items(), again.model.state_dict().values(), strict=True
    ):
        assert torch.equal(tensor, other), name


def test_adapters_that_add_nothing_leave_an_ordinary_encoder(backbone: Modular) -> None:
    model = copy.deepcopy(backbone.model)
    for name, tensor in model.state_dict().items():
        if "dense2" in name:
            tensor.zero_()
    config = {**model.config.to_dict(), "model_type": "xlm-roberta"}
    plain = XLMRobertaModel(XLMRobertaConfig(**config), add_pooling_layer=False).eval()
    shared = {k: v for k, v in model.roberta.state_dict().items() if "adapter" not in k}
    assert plain.load_state_dict(shared).missing_keys == []
    for layer in plain.encoder.layer:  # the layer's norm is used before the adapter, and again behind it
        layer.output.LayerNorm = torch.nn.Sequential(layer.output.LayerNorm, layer.output.LayerNorm)
    ids = torch.tensor([[2, 9, 10, 11, 3], [2, 12, 3, 0, 0]])
    mask = (ids != 0).long()
    with torch.no_grad():
        ours = Modular(model, backbone.tokenizer).hidden(ids, mask, torch.tensor([0, 1]))
        theirs = plain(input_ids=ids, attention_mask=mask).last_hidden_state
    assert torch.allclose(ours[mask.bool()], theirs[mask.bool()], atol=1e-6)


def test_an_adapter_is_two_layers_between_norms(backbone: Modular) -> None:
    layer = backbone.model.roberta.encoder.layer[0].output
    h, x = torch.randn(2, 5, 32), torch.randn(2, 5, 16)
    numbers = torch.tensor([1, 0])
    with torch.no_grad():
        found = layer(h, x, numbers)
        normed = layer.LayerNorm(layer.dense(h) + x)
        for row, language in ((0, "de"), (1, "en")):
            adapter = layer.adapter_modules[language]
            inner = torch.nn.functional.gelu(adapter.dense1(normed[row]))
            assert adapter.dense1.out_features == 8
            expected = normed[row] + adapter.dense2(inner)
            assert torch.allclose(found[row], expected, atol=1e-6)


def test_mixed_batches_are_what_each_language_gives_alone(backbone: Modular) -> None:
    ids = torch.tensor([[2, 9, 10, 3], [2, 11, 12, 3], [2, 9, 10, 3]])
    ones = torch.ones_like(ids)
    with torch.no_grad():
        mixed = backbone.hidden(ids, ones, torch.tensor([0, 1, 2]))
        for row in range(3):
            alone = backbone.hidden(ids[row : row + 1], ones[:1], torch.tensor([row]))
            assert torch.allclose(mixed[row], alone[0], atol=1e-6)
    assert not torch.allclose(mixed[0], mixed[2], atol=1e-4)


def test_freezing_leaves_what_languages_share_but_embeddings(backbone: Modular) -> None:
    model = copy.deepcopy(backbone.model)
    freeze(model)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained and all("attention" in n or "intermediate" in n or "output" in n for n in trained)
    assert not any("embeddings" in n or "adapter" in n or "lm_head" in n for n in trained)
    assert "roberta.encoder.layer.1.output.LayerNorm.weight" in trained


def test_a_language_that_is_added_leaves_the_others_to_the_bit(backbone: Modular) -> None:
    before = {language: states(backbone, "nacen libres 12", language) for language in backbone.languages}
    wider = extended(backbone, "nl", dutch(backbone))
    kept = {name: tensor.clone() for name, tensor in wider.model.state_dict().items()}
    torch.manual_seed(0)
    teach(wider, "nl", DUTCH, ROWS)
    start = backbone.model.config.vocab_size
    assert wider.rows("nl").start == start == wider.rows("es").stop
    for name, tensor in wider.model.state_dict().items():
        if name in adapters(wider, "nl"):
            assert not torch.equal(tensor, kept[name]), name
        elif "word_embeddings" in name or name.endswith(("lm_head.bias", "decoder.weight", "decoder.bias")):
            assert torch.equal(tensor[:start], kept[name][:start]), name
            assert not torch.equal(tensor[start:], kept[name][start:]), name
        else:
            assert torch.equal(tensor, kept[name]), name
    for language, seen in before.items():
        assert torch.equal(states(wider, "nacen libres 12", language), seen)
    assert all(parameter.requires_grad for parameter in wider.model.parameters())
    with pytest.raises(InputError, match=r"^language: 'nl' is there"):
        extended(wider, "nl")
    taken = extension(backbone.tokenizer, ["xyz"], 80, len(backbone.tokenizer))
    with pytest.raises(InputError, match=r"^language: rows"):
        extended(wider, "fy", taken)


def test_what_was_learnt_elsewhere_is_plugged_in(backbone: Modular) -> None:
    wider = extended(backbone, "nl", dutch(backbone))
    torch.manual_seed(0)
    teach(wider, "nl", DUTCH, ROWS)
    tuned = Modular(copy.deepcopy(backbone.model), backbone.tokenizer, backbone.own)
    with torch.no_grad():
        tuned.model.roberta.encoder.layer[0].attention.self.query.weight.add_(0.1)
    made = plugged(tuned, wider, "nl")
    assert torch.equal(states(made, "free", "en"), states(tuned, "free", "en"))
    with torch.no_grad():
        wider.model.roberta.encoder.layer[0].attention.self.query.weight.add_(0.1)
    assert torch.equal(states(made, DUTCH[0], "nl"), states(wider, DUTCH[0], "nl"))
    with pytest.raises(InputError, match=r"^language:"):
        plugged(tuned, wider, "fr")


def test_only_the_languages_asked_for_are_saved_and_loaded(backbone: Modular, tmp_path: Path) -> None:
    modular.save(backbone, tmp_path / "all")
    modular.save(backbone, tmp_path / "two", ["es", "en"])
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("all", "two")]
    assert sizes[1] < sizes[0]
    for loaded in (
        modular.load(tmp_path / "two"),
        modular.load(tmp_path / "all", ["es", "en"]),
    ):
        assert loaded.languages == ["es", "en"]
        assert loaded.model.config.default_language == "es"
        for language in loaded.languages:
            text = "Todos nacen free"
            assert torch.equal(states(loaded, text, language), states(backbone, text, language))
    with pytest.raises(InputError, match=r"^language:"):
        modular.load(tmp_path / "two", ["de"])


def test_masked_language_modelling_learns_each_language(backbone: Modular) -> None:
    encoder = Modular(copy.deepcopy(backbone.model), backbone.tokenizer, backbone.own)
    texts = {"en": ["a b c d e f g h " * 20], "de": ["h g f e d c b a " * 20]}
    torch.manual_seed(0)
    losses = pretrain(encoder, texts, Schedule(steps=60, batch=8, length=16, rate=1e-2))
    assert len(losses) == 60 and sum(losses[-6:]) < 0.6 * sum(losses[:6])


def test_only_hidden_tokens_count(backbone: Modular) -> None:
    torch.manual_seed(0)
    ids = torch.tensor([[2, 9, 10, 11, 12, 3]])
    assert masked_loss(backbone, "en", ids, 1e-9).isfinite()  # of every row, one token at least is hidden
    assert IGNORED not in ids
