"""Maps of low rank in full precision beside the binary layers of attention."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from etude.compress.binarize import BiPFT
from etude.compress.binarize.attention import Structure
from etude.compress.binarize.checks import TOKENIZER, corpus, pairs, roberta
from etude.compress.binarize.downstream import classifier
from etude.compress.binarize.encoder import adapt, binarise, forward_arguments, structure_of
from etude.compress.binarize.layers import Adapter, BinaryLinear
from etude.compress.binarize.saving import load, save
from etude.compress.binarize.size import bits_per_weight, encoder_bytes
from etude.data.labelled import Examples
from etude.data.masked import pretraining
from etude.seeds import seeded

BESIDE = ("self.query", "self.key", "self.value", "output.dense")


def binary(**structure: Any) -> Any:
    with seeded(0):
        model = pairs()
        binarise(model, Structure(rank=1, **structure))
        model.eval()(**batch())  # sets the scales
    return model


def batch() -> dict[str, torch.Tensor]:
    with seeded(0):
        return forward_arguments(pretraining(corpus()["input_ids"], TOKENIZER))


@pytest.mark.parametrize("make", [pairs, roberta])
def test_they_are_beside_the_four_layers_of_attention_and_no_others(make: Any) -> None:
    model = make()
    binarise(model, Structure(adapters=2))
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, BinaryLinear)}
    for name, layer in layers.items():
        assert (layer.adapter is not None) == (".attention." in name and name.endswith(BESIDE)), name
    assert sum(layer.adapter is not None for layer in layers.values()) == 4 * model.config.num_hidden_layers
    assert structure_of(model) == Structure(adapters=2)


@torch.no_grad()
def test_a_layer_adds_what_its_adapter_makes_of_the_inputs_as_they_are() -> None:
    model = binary(adapters=3)
    layer = model.bert.encoder.layer[0].attention.self.query
    assert isinstance(layer.adapter, Adapter)
    x = torch.randn(2, 5, layer.in_features, generator=torch.Generator().manual_seed(0))
    added = layer(x) - layer._binary(x)
    product = layer.adapter.up.weight @ layer.adapter.down.weight
    torch.testing.assert_close(added, x @ product.T, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_adapters_of_zeros_add_nothing() -> None:
    plain, adapted = binary(), binary()
    adapt(adapted, rank=2)
    for layer in adapted.modules():
        if isinstance(layer, Adapter):
            layer.up.weight.zero_()
    one, other = (model(**batch()) for model in (plain, adapted))
    assert torch.equal(one.prediction_logits, other.prediction_logits)


@torch.no_grad()
def test_they_are_saved_as_they_are_and_counted(tmp_path: Path) -> None:
    plain, model = binary(), binary(adapters=2)
    save(model, None, tmp_path / "model")
    again = load(tmp_path / "model")[0]
    assert structure_of(again) == Structure(rank=1, adapters=2)
    torch.testing.assert_close(again(**batch()).prediction_logits, model(**batch()).prediction_logits)
    numbers = sum(part.numel() for name, part in model.named_parameters() if ".adapter." in name)
    assert encoder_bytes(model) - encoder_bytes(plain) == 4 * numbers
    assert bits_per_weight(model) == bits_per_weight(plain)


def test_they_are_put_in_after_pre_training_and_learn_in_fine_tuning() -> None:
    """Pre-training draws and gives the same with them as without."""
    models = []
    for adapters in (0, 2):
        with seeded(0):
            model = pairs()
            BiPFT(steps=2, batch=4, adapters=adapters).binarize(model, corpus(), TOKENIZER)
        models.append(model.state_dict())
    without, having = models
    assert {name for name in having if ".adapter." not in name} == without.keys()
    assert all(torch.equal(having[name], value) for name, value in without.items())
    made = classifier(model, Examples((("a fine day",), ("a dark day",)), (0, 1), ("a", "b")), TOKENIZER)
    made(**batch()).logits.square().sum().backward()
    gradients = [part.grad for name, part in made.named_parameters() if ".adapter." in name]
    assert len(gradients) == 8 * model.config.num_hidden_layers
    assert all(gradient is not None for gradient in gradients)
    assert sum(bool(gradient.any()) for gradient in gradients) >= len(gradients) // 2  # others see zeros here
