"""The two distillations of ZeroQuant-V2: at no steps rounding to nearest, and less is lost with steps."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch.nn.functional import kl_div
from transformers import LlamaConfig, LlamaModel

from etude.compress.quantize import Rtn, ZeroQuant, ZqGlobal, ZqLocal
from etude.compress.quantize.zq_global import Student, distance
from etude.compress.quantize.zq_local import Latent
from etude.errors import InputError
from etude.models.blocks import block_linears
from etude.models.inputs import installed
from etude.seeds import seeded

from .models import gpt2, layer, llama, logits, tokens

METHODS = [ZqLocal(bits=3, iterations=40), ZqGlobal(bits=3, iterations=40)]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_no_steps_are_rounding_to_nearest(method: Any) -> None:
    ours, plain = llama(), llama()
    dataclasses.replace(method, iterations=0).quantize(ours, tokens())
    Rtn(bits=3, group="channel").quantize(plain)
    for one, other in zip(block_linears(ours), block_linears(plain), strict=True):
        assert torch.equal(one.weight, other.weight)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_no_steps_with_rounded_inputs_are_zeroquant(method: Any) -> None:
    ours, plain = llama(), llama()
    dataclasses.replace(method, iterations=0, bits=4, activations="int").quantize(ours, tokens())
    ZeroQuant(bits=4, symmetric=False).quantize(plain)
    assert len(installed(ours)) == len(block_linears(ours))
    assert torch.equal(logits(ours), logits(plain))


@pytest.mark.parametrize("activations", ["none", "int"])
@pytest.mark.parametrize("make", [llama, gpt2])
def test_the_whole_model_comes_nearer_to_what_it_was(make: Any, activations: str) -> None:
    """Also of transposed layers; gradients are left nowhere, and what is not stored stays as it was."""
    trained, start, dense = make(), make(), make()
    method = ZqGlobal(bits=3, lr=1e-3, iterations=40, activations=activations)
    with seeded(0):
        stored = method.quantize(trained, tokens(32))
    dataclasses.replace(method, iterations=0).quantize(start, tokens(32))
    lost = [float((logits(model) - logits(dense)).norm()) for model in (trained, start)]
    assert lost[0] < 0.9 * lost[1]
    linears = {linear.name: linear for linear in block_linears(trained)}
    for name, linear in linears.items():
        assert torch.equal(stored[name].weight(), linear.weight)
    weights = {f"{name}.weight" for name in linears}
    for name, parameter in trained.named_parameters():
        assert parameter.grad is None and parameter.requires_grad
        assert name in weights or torch.equal(parameter, dict(dense.named_parameters())[name])


@pytest.mark.parametrize("lr", [1e-3, 10.0])
def test_it_never_errs_more_than_at_the_start(lr: float) -> None:
    """On what it is judged by; an absurd learning rate leaves rounding to nearest."""
    model, plain = llama(), llama()
    with seeded(0):
        ZqGlobal(bits=3, iterations=10, lr=lr).quantize(model, tokens(8))
    Rtn(bits=3, group="channel").quantize(plain)
    pairs = zip(block_linears(model), block_linears(plain), strict=True)
    assert all(torch.equal(one.weight, other.weight) for one, other in pairs) == (lr == 10.0)


def test_the_loss_is_that_of_predictions_and_of_hidden_states() -> None:
    dense, other = llama(), llama()
    for linear in block_linears(other):
        linear.weight.mul_(1.05)
    batch = tokens(2)
    layers = block_linears(dense)
    student = Student(dense, layers, llama(), [batch])
    with torch.no_grad():
        assert float(student.loss(0, [linear.weight for linear in layers])) < 1e-6
        found = float(student.loss(0, [linear.weight for linear in block_linears(other)]))
        one, two = (model(**batch, output_hidden_states=True) for model in (other, llama()))
    chances = [each.logits.flatten(0, 1).log_softmax(1) for each in (one, two)]
    expected = float(kl_div(*chances, reduction="sum", log_target=True)) / chances[0].shape[0]
    states = zip(one.hidden_states, two.hidden_states, strict=True)
    expected += sum(float((a - b).square().mean()) for a, b in states) / len(one.hidden_states)
    assert found == pytest.approx(expected, rel=1e-4)


def test_padding_does_not_count() -> None:
    batch = tokens(2)
    mask = torch.ones_like(batch["input_ids"])
    mask[:, 10:] = 0
    with torch.no_grad():
        one, two = (model(**batch, output_hidden_states=True) for model in (llama(), llama(hidden=32)))
        spoilt = model_of(one, at=slice(10, None))
    assert float(distance(spoilt, two, mask)) == pytest.approx(float(distance(one, two, mask)), abs=1e-6)
    assert float(distance(spoilt, two)) > 1.0


def model_of(found: Any, at: slice) -> Any:
    """What a model returned, with other logits at some positions."""
    spoilt = found.logits.clone()
    spoilt[:, at] = -10 * spoilt[:, at]
    return type(found)(logits=spoilt, hidden_states=found.hidden_states)


def test_gradients_pass_through_the_rounding() -> None:
    weight = layer(4, 16).weight
    latent = Latent(weight, Rtn(bits=2, group=8))
    (latent.weight() * torch.arange(64.0).reshape(4, 16)).sum().backward()
    assert torch.equal(latent.latent.grad, torch.arange(64.0).reshape(4, 16))
    assert torch.equal(latent.weight(), latent.quantized().base())


def test_a_bare_encoder_is_refused_before_it_is_touched() -> None:
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
    model = LlamaModel(LlamaConfig(vocab_size=64, **sizes))
    with pytest.raises(InputError, match="model: LlamaModel gives no predictions"):
        ZqGlobal(activations="int").quantize(model, tokens())
    assert not installed(model)
