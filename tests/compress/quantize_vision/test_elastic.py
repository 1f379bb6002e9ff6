"""Elastic layers, their losses and their ranges."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from etude.compress.quantize_vision import LsqPlusVision, MinmaxVision
from etude.compress.quantize_vision.checks import tiny_residual, tiny_training, tiny_transformer
from etude.compress.quantize_vision.elastic import (
    EPSILON,
    KINDS,
    Elastic,
    configure,
    elastic_layers,
    search_ranges,
    uniform,
)
from etude.compress.quantize_vision.extraction import extract
from etude.compress.quantize_vision.formats import BITS, Format
from etude.compress.quantize_vision.ranges import SUMMARY, least_error, summary
from etude.compress.quantize_vision.supernet import (
    Sampler,
    kurtosis,
    recalibrate,
    regularisation,
    skewness,
    supernet_backward,
)
from etude.compress.quantize_vision.training import Schedule, fit
from etude.errors import InputError


@pytest.fixture
def images() -> Tensor:
    return torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def elastic(images: Tensor, tries: int = 10) -> torch.nn.Module:
    model = tiny_transformer()
    Elastic().apply(model)
    search_ranges(model, images, tries)
    return model


def sampler(model: torch.nn.Module, seed: int = 0) -> Sampler:
    return Sampler(len(elastic_layers(model)), BITS, KINDS, torch.Generator().manual_seed(seed))


def test_switching_formats_to_and_fro_leaves_no_trace(images: Tensor) -> None:
    model = elastic(images)
    one, other = sampler(model).random(), sampler(model, 1).random()
    outputs = []
    for formats in (one, other, one):
        configure(model, formats)
        outputs.append(model(images).logits)
    assert torch.equal(outputs[0], outputs[2]) and not torch.equal(outputs[0], outputs[1])


def test_at_eight_bits_it_is_the_model_in_full_precision(images: Tensor) -> None:
    model, expected = elastic(images, tries=30), tiny_transformer()(images).logits.flatten()
    for granularity, symmetric, activation_symmetric in KINDS:
        kind = {"symmetric": symmetric, "activation_symmetric": activation_symmetric}
        uniform(model, Format(granularity=granularity, **kind))  # type: ignore[arg-type]
        assert torch.cosine_similarity(model(images).logits.flatten(), expected, dim=0) > 0.999


def test_first_and_last_layer_keep_eight_bits(images: Tensor) -> None:
    model = elastic(images)
    uniform(model, Format.named("w2a3-tensor-asym"))
    formats = [layer.weight.format for layer in elastic_layers(model)]
    assert formats[0].bits == formats[-1].activation_bits == 8 and formats[0].granularity == "tensor"
    assert {form.name for form in formats[1:-1]} == {"w2a3-tensor-asym"}


def test_symmetric_ranges_have_no_offset_after_training_either(images: Tensor) -> None:
    model = elastic(images)
    backward = supernet_backward(model, sampler(model))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(2):
        backward(images, torch.tensor([0, 1, 2, 0, 1, 2]))
        optimizer.step()
    uniform(model, Format.named("w2a2-channel-sym"))
    for layer in elastic_layers(model)[1:-1]:
        low = -2 * layer.weight.line()[0]
        assert torch.equal(layer.weight.line()[1], low)


def test_moments_of_known_distributions() -> None:
    draw = torch.Generator().manual_seed(0)
    even, normal = torch.rand(200_000, generator=draw), torch.randn(200_000, generator=draw)
    assert float(kurtosis(even)) == pytest.approx(1.8, abs=0.01)
    assert float(kurtosis(normal)) == pytest.approx(3.0, abs=0.05)
    assert float(skewness(even)) == pytest.approx(0.0, abs=0.02)
    assert float(skewness(normal.exp())) > 3


def test_regularisation_leaves_the_first_layer_out_and_vanishes_where_all_is_uniform(images: Tensor) -> None:
    model = elastic(images)
    for layer in elastic_layers(model):
        rows = torch.linspace(-1, 1, layer.weight.weight.numel())
        layer.weight.weight.data.copy_(rows.view_as(layer.weight.weight))
    assert regularisation(model, 0.0, 1.0).item() < 1e-9
    before = regularisation(model, 1.0, 1.0).item()
    assert before < 0.03  # of so few numbers, kurtosis is not quite 1.8
    elastic_layers(model)[0].weight.weight.data[0, 0] = 100
    assert regularisation(model, 1.0, 1.0).item() == before
    elastic_layers(model)[1].weight.weight.data[0, 0] = 100
    assert regularisation(model, 1.0, 1.0).item() > 100


def test_guidance_goes_from_the_largest_to_the_smallest(images: Tensor) -> None:
    model, labels = elastic(images), torch.tensor([0, 1, 2, 0, 1, 2])
    backward = supernet_backward(model, sampler(model, 3), flat=0.0, even=0.0, clip=1e9)
    backward(images, labels)
    found = [p.grad.clone() for p in model.parameters() if p.grad is not None]

    model.zero_grad()
    draws = sampler(model, 3)
    before = None
    for formats in (draws.uniform(8), draws.random(), draws.uniform(2)):
        configure(model, formats)
        log = model(images).logits.log_softmax(-1)
        loss = torch.nn.functional.nll_loss(log, labels)
        if before is not None:
            loss = 0.5 * (before.exp() * (before - log)).sum(-1).mean() + 0.5 * loss
        loss.backward()
        before = log.detach()
    again = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(found, again, strict=True))


def test_with_one_format_and_no_other_loss_it_is_lsq_plus() -> None:
    training = tiny_training(epochs=2)
    dedicated, model = tiny_transformer(), tiny_transformer()
    LsqPlusVision(tries=10).quantize(dedicated, training)

    Elastic().apply(model)
    search_ranges(model, training.calibration(), 10)
    draws = Sampler(len(elastic_layers(model)), (8,), [("channel", True, True)], torch.Generator())
    backward = supernet_backward(model, draws, subnets=1, flat=0.0, even=0.0)
    optimizer = torch.optim.Adam(model.parameters())
    rate = Schedule(training.steps, 1e-3)
    fit(model, optimizer, training.batches(strong=False), training.steps, backward, rate)
    for name, tensor in dedicated.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name


def test_lsq_plus_finds_the_ranges_of_other_formats_anew_and_keeps_its_own() -> None:
    one, other = tiny_transformer(), tiny_transformer()
    for model, others in ((one, False), (other, True)):
        LsqPlusVision(bits=4, activation_bits=4, tries=5, others=others).quantize(model, tiny_training(4))
    ours, theirs = elastic_layers(one)[1].weight, elastic_layers(other)[1].weight
    assert torch.equal(ours.channel.symmetric[:, 2], theirs.channel.symmetric[:, 2])
    assert not torch.equal(ours.channel.symmetric[:, 4], theirs.channel.symmetric[:, 4])


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("signed", [True, False])
def test_least_error_is_least_among_all_tried(symmetric: bool, signed: bool) -> None:
    rows = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    rows = rows if signed else rows.abs()
    step, offset = least_error(rows, 3, symmetric=symmetric, signed=signed, tries=30)
    low, high = (-4, 3) if signed else (0, 7)

    def error(row: Tensor, step: Tensor, offset: Tensor) -> float:
        rounded = ((row - offset) / step).round().clamp(low, high) * step + offset
        return float((rounded - row).abs().pow(2.4).mean())

    for row, found, moved in zip(rows, step, offset, strict=True):
        top = row.abs().max() if symmetric else row.max()
        bottom = -top if symmetric and signed else row.min() if not symmetric else 0 * top
        tried = []
        for shrunk in range(30):
            wide = (top - bottom) * (1 - shrunk / 100) / (high - low)
            shift = bottom * (1 - shrunk / 100) - wide * low if not symmetric and signed else 0 * wide
            tried.append(error(row, wide, shift))
        assert error(row, found, moved) == pytest.approx(min(tried), rel=1e-4)


def test_a_summary_keeps_the_extremes() -> None:
    x = torch.randn(100, 100)
    assert summary(x).shape == (1, SUMMARY)
    assert summary(x).min() == x.min() and summary(x).max() == x.max()


def test_min_max_reaches_the_extremes() -> None:
    model = tiny_transformer()
    weight = model.vit.layers[0].mlp.fc1.weight.detach().clone()
    MinmaxVision(granularity="tensor").quantize(model, tiny_training())
    step, _ = model.vit.layers[0].mlp.fc1.weight.line()
    assert (step.item() - EPSILON) * 255 == pytest.approx(2 * float(weight.abs().max()), rel=1e-4)


def test_an_extract_predicts_the_same_and_holds_only_its_codes(images: Tensor) -> None:
    model = elastic(images)
    configure(model, sampler(model).random())
    alone, _ = extract(model)
    assert torch.allclose(alone(images).logits, model(images).logits, atol=1e-5)
    assert not [name for name, _ in alone.named_parameters() if "weight.weight" in name]
    assert sum(t.numel() * t.element_size() for t in alone.state_dict().values()) < 0.5 * sum(
        t.numel() * t.element_size() for t in tiny_transformer().state_dict().values()
    )


def test_batch_normalisation_follows_the_format() -> None:
    model, images = tiny_residual(), torch.randn(20, 3, 8, 8)
    norm = next(m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d))
    seen: list[Tensor] = []
    norm.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0].detach()))
    recalibrate(model, images, batch=20)
    assert torch.allclose(norm.running_mean, seen[0].mean((0, 2, 3)), atol=1e-5)
    assert not norm.training and norm.momentum == 0.1


def test_names_of_formats() -> None:
    for name in ("w2a8-channel-sym", "w3a3-tensor-asym", "w4a2-tensor-sym-asym"):
        assert Format.named(name).name == name
    assert replace(Format.named("w3a3-tensor-sym"), bits=4).name == "w4a3-tensor-sym"
    with pytest.raises(InputError, match="no format"):
        Format.named("w9a3-channel-sym")
