"""Reconstruction: the loop, its units, mixed inputs, Fisher weights; on language models and classifiers."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    LlamaModel,
    ViTConfig,
    ViTForImageClassification,
)

from etude.compress.quantize import (
    AdaRound,
    Brecq,
    FlexRound,
    Lsq,
    LsqPlus,
    Rtn,
    Stochastic,
    ZqLocal,
)
from etude.compress.quantize.brecq import fisher
from etude.compress.quantize.learned_inputs import LearnedInputs, least_squares
from etude.compress.quantize.reconstruction import Unit, layers, mixed, shuffled, units
from etude.errors import InputError
from etude.models.beside import Passage, beside
from etude.models.blocks import block_linears
from etude.models.inputs import installed
from etude.models.numbers import Numbers
from etude.seeds import seeded

from .models import gpt2, llama, logits, random, tokens

QUICK = {"bits": 3, "iterations": 40}
METHODS = [
    FlexRound(lr=1e-2, **QUICK),
    FlexRound(lr=1e-2, divisors=4, **QUICK),
    AdaRound(lr=3e-2, **QUICK),
    Brecq(lr=3e-2, batch=2, **QUICK),
    Lsq(lr=3e-3, **QUICK),
    LsqPlus(lr=3e-3, **QUICK),
    ZqLocal(lr=3e-3, **QUICK),
]


def lost(model: Any, dense: Any) -> float:
    return float((logits(model) - logits(dense)).norm())


@pytest.mark.parametrize("make", [llama, gpt2])
@pytest.mark.parametrize("method", METHODS, ids=lambda method: f"{method.name} {method.unit}")
def test_training_loses_less_than_its_start(method: Any, make: Any) -> None:
    trained, start = make(), make()
    with seeded(0):
        stored = method.quantize(trained, tokens(32))
        dataclasses.replace(method, iterations=0).quantize(start, tokens(32))
    assert lost(trained, make()) < lost(start, make())
    for linear in block_linears(trained):
        assert torch.equal(stored[linear.name].weight(), linear.weight)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in trained.parameters())
    assert not any(module._forward_pre_hooks for module in trained.modules())


def test_without_iterations_flexround_is_rounding_to_nearest() -> None:
    one, other = llama(), llama()
    FlexRound(bits=3, iterations=0).quantize(one, tokens())
    Rtn(bits=3, group="channel").quantize(other)
    for a, b in zip(block_linears(one), block_linears(other), strict=True):
        assert torch.equal(a.weight, b.weight)


def first_step(model: Any) -> Any:
    return next(beside(model, tokens(8), chunk=2))


@pytest.mark.parametrize("lr", [1e-2, 10.0])
def test_a_unit_never_errs_more_than_at_the_start(lr: float) -> None:
    """Not even where the learning rate is absurd."""
    step = first_step(llama())
    (unit,) = units(step, "block")
    method = FlexRound(bits=3, iterations=10, lr=lr)
    start = unit.lost({path: method.rounding(layer) for path, layer in unit.layers.items()})
    for path, quantized in method.reconstruct(unit).items():
        method.put(unit.layers[path], quantized)
    with torch.no_grad():
        after = sum(float(unit.loss(index, {})) for index in range(4)) / 4
    assert after <= start * (1 + 1e-5)
    assert (after == pytest.approx(start, rel=1e-5)) == (lr == 10.0)


def test_a_layers_input_is_of_the_quantised_prefix_and_its_target_dense() -> None:
    step = first_step(llama())
    names, before = [], {path: layer.weight.clone() for path, layer in layers(step.module).items()}
    for unit in units(step, "layer"):
        (path,) = unit.layers
        names.append(path)
        weight = before[path]
        for passage in unit.passages:
            torch.testing.assert_close(passage.dense[0][0] @ weight.T, passage.target)
        same = torch.equal(unit.passages[0].call[0][0], unit.passages[0].dense[0][0])
        assert same == (path in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"))
        unit.layers[path].weight.mul_(1.1)
    assert names[:4] == ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"]
    assert names[-1] == "mlp.down_proj" and set(names) == set(before)


def test_padding_does_not_count() -> None:
    padded = tokens(8)
    padded["attention_mask"] = torch.ones_like(padded["input_ids"])
    padded["attention_mask"][:, 10:] = 0
    other = {name: value.clone() for name, value in padded.items()}
    other["input_ids"][:, 10:] = 5
    models = []
    for calibration in (padded, other):
        model = llama()
        with seeded(0):
            FlexRound(lr=1e-2, **QUICK).quantize(model, calibration)
        models.append(model)
    for a, b in zip(*map(block_linears, models), strict=True):
        torch.testing.assert_close(a.weight, b.weight)


def test_batches_come_once_in_every_round() -> None:
    order = list(shuffled(5, 12))
    assert sorted(order[:5]) == sorted(order[5:10]) == [0, 1, 2, 3, 4] and len(order) == 12


def test_inputs_are_mixed_by_probability() -> None:
    one, other = torch.zeros(100, 100), torch.ones(100, 100)
    for drop, mean in ((0.0, 0.0), (1.0, 1.0), (0.3, 0.3)):
        (x, *rest), kwargs = mixed(((one, 5), {"a": 1}), ((other, 5), {"a": 2}), drop)
        assert float(x.mean()) == pytest.approx(mean, abs=0.02) and rest == [5] and kwargs == {"a": 1}
    _, kwargs = mixed(((), {"x": one, "a": 1}), ((), {"x": other, "a": 2}), 1.0)
    assert float(kwargs["x"].mean()) == 1.0 and kwargs["a"] == 1


def test_convolutions_have_divisors_for_their_channels() -> None:
    with seeded(0):
        block = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 6, 3, groups=2))
        images = [torch.randn(4, 4, 8, 8) for _ in range(6)]
    with torch.no_grad():
        passages = [Passage(((x,), {}), ((x,), {}), block(x), None) for x in images]
    unit = Unit(block, layers(block), {path: f"{path}.weight" for path in layers(block)}, passages)
    method = FlexRound(bits=3, group="tensor", iterations=60, lr=1e-2)
    roundings = {path: method.rounding(layer) for path, layer in unit.layers.items()}
    assert [roundings[path].channel.shape for path in ("0", "2")] == [(1, 4, 1), (1, 3, 1)]
    start = unit.lost(roundings)
    for path, quantized in method.reconstruct(unit).items():
        method.put(unit.layers[path], quantized)
        assert quantized.shape == tuple(block.get_submodule(path).weight.flatten(1).shape)
    with torch.no_grad():
        after = sum(float(unit.loss(index, {})) for index in range(0, 6, 2)) / 3
    assert after < 0.8 * start


def vit() -> Any:
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    config = ViTConfig(**sizes, image_size=8, patch_size=4, num_channels=1, num_labels=5)
    with seeded(0):
        return ViTForImageClassification(config).eval(), {"pixel_values": torch.randn(24, 1, 8, 8)}


def bert() -> Any:
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    config = BertConfig(**sizes, vocab_size=64, max_position_embeddings=32, num_labels=3)
    with seeded(0):
        return BertForSequenceClassification(config).eval(), tokens(24)


@pytest.mark.parametrize("make", [vit, bert])
def test_classifiers_are_reconstructed_too(make: Any) -> None:
    def scores(model: Any) -> Tensor:
        with torch.no_grad():
            found: Tensor = model(**make()[1]).logits
            return found

    expected = scores(make()[0])
    errors = []
    for iterations in (0, 60):
        model, calibration = make()
        with seeded(0):
            FlexRound(bits=3, lr=1e-2, iterations=iterations).quantize(model, calibration)
        errors.append(float((scores(model) - expected).norm()))
    assert errors[1] < 0.8 * errors[0]


def test_fisher_weights_are_squared_gradients_of_mean_one() -> None:
    model, batch = llama(), tokens(6)
    batch["attention_mask"] = torch.ones_like(batch["input_ids"])
    batch["attention_mask"][0, 8:] = 0
    with seeded(0):
        found = fisher(model, batch)
    assert [tuple(each.shape) for each in found] == [(6, 16, 32)] * 2
    for each in found:
        assert float(each.float().mean()) == pytest.approx(1, rel=1e-2)
        assert float(each[0, 8:].abs().max()) == 0  # padding predicts nothing, and nothing looks at it
    assert all(parameter.grad is None for parameter in model.parameters())


def test_fisher_needs_predictions() -> None:
    with pytest.raises(InputError, match=r"^fisher"):
        Brecq(iterations=1, batch=2).quantize(LlamaModel(llama().config), tokens())


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("unit", ["block", "layer"])
def test_static_inputs_are_learned_and_left_in_front(unit: Any, symmetric: bool) -> None:
    method = LsqPlus(
        bits=4, iterations=30, lr=1e-3, unit=unit, drop=0.5, activations="int", activation_bits=4,
        activation_symmetric=symmetric, activation_range="static", activation_lr=1e-2,
    )  # fmt: skip
    model, start = llama(), llama()
    with seeded(0):
        method.quantize(model, tokens(32))
        dataclasses.replace(method, iterations=0).quantize(start, tokens(32))
    roundings = installed(model)
    assert roundings.keys() == {linear.name for linear in block_linears(model)}
    assert all((each.zero is None) == symmetric for each in roundings.values())
    assert any(not torch.equal(each.scale, installed(start)[name].scale) for name, each in roundings.items())
    assert lost(model, llama()) < lost(start, llama())


def test_inputs_can_be_rounded_by_token() -> None:
    model = llama()
    FlexRound(bits=8, iterations=5, activations="int").quantize(model, tokens())
    assert {each.by for each in installed(model).values()} == {"token"}
    assert lost(model, llama()) < 0.1 * float(logits(llama()).norm())


def test_hardened_inputs_are_rounded_as_in_training() -> None:
    x = random(5, 7, 16) + 0.5
    for symmetric in (True, False):
        learned = LearnedInputs(Numbers.whole(4, symmetric=symmetric), x)
        for part in learned.parameters():
            part.data *= 1.07
        (soft,) = learned(nn.Identity(), (x,))
        torch.testing.assert_close(soft.detach(), learned.hardened().round(x), rtol=0, atol=1e-6)


def test_ranges_begin_where_they_err_least() -> None:
    x = torch.cat([random(1000), torch.tensor([20.0])])
    numbers = Numbers.whole(4)
    widest = numbers.between(x.min(), x.max())
    found = least_squares(numbers, x)
    error = [float((numbers.round(x, *each) - x).square().sum()) for each in (found, widest)]
    assert error[0] < error[1]


def test_by_lot_needs_no_text_and_differs_with_the_seed() -> None:
    one, same, other = llama(), llama(), llama()
    for model, seed in ((one, 0), (same, 0), (other, 1)):
        with seeded(seed):
            Stochastic(bits=4, group=16).quantize(model)
    weights = [
        torch.cat([linear.weight.flatten() for linear in block_linears(m)]) for m in (one, same, other)
    ]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: FlexRound(bits=4, numbers="e2m1"), "numbers"),
        (lambda: FlexRound(convention="gguf"), "convention"),
        (lambda: Lsq(symmetric=False), "symmetric"),
        (lambda: AdaRound(activations="e4m3", activation_range="static"), "activations"),
    ],
)
def test_what_cannot_be_learned_is_refused(make: Any, field: str) -> None:
    with pytest.raises(InputError, match=f"^{field}"):
        make()


def test_groups_that_do_not_fit_are_refused_before_any_work() -> None:
    model = llama()
    before = logits(model)
    with pytest.raises(InputError, match=r"^group"):
        FlexRound(group=24).quantize(model, tokens())
    assert torch.equal(logits(model), before)
