"""Learned rounding: what it is at the start, its gradients, and that what is stored is what was trained."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from etude.compress.quantize import AdaRound, FlexRound, Lsq, LsqPlus, Rtn
from etude.compress.quantize.grids import Granularity, Integers, Range, split
from etude.compress.quantize.range_grid import best_of_grid
from etude.compress.quantize.rounding import Division, UpOrDown, inverse_soft, soft, stochastic

from .models import layer, random

FORMATS: list[dict[str, Any]] = [
    {"bits": 4, "group": "channel"},
    {"bits": 3, "group": "tensor", "search": "error"},
    {"bits": 3, "group": 16, "symmetric": True},
    {"bits": 4, "group": 16, "convention": "awq", "scales": "float32"},
    {"bits": 8, "group": "channel", "symmetric": True, "convention": "gguf"},
]


def division(weight: Tensor, by: Granularity = "channel", bits: int = 4, **extra: Any) -> Division:
    grid = Integers(bits=bits, symmetric=True)
    return Division(weight, grid, by, grid.fit(split(weight, by)), **extra)


@pytest.mark.parametrize("kind", FORMATS)
def test_flexround_starts_as_rounding_to_nearest_bit_for_bit(kind: dict[str, Any]) -> None:
    linear = layer(12, 32)
    rounding = FlexRound(**kind).rounding(linear)
    expected = Rtn(**kind).nearest(linear.weight)
    assert torch.equal(rounding.quantized().codes, expected.codes)
    assert torch.equal(rounding.quantized().scale, expected.scale)
    assert torch.equal(rounding.weight().detach(), expected.weight())


@pytest.mark.parametrize("kind", FORMATS)
def test_adaround_starts_as_the_weight_and_hardens_to_nearest(kind: dict[str, Any]) -> None:
    linear = layer(12, 32)
    rounding = AdaRound(**kind).rounding(linear)
    inside = (rounding.steps.exact() >= rounding.steps.lowest) & (
        rounding.steps.exact() <= rounding.steps.highest
    )
    found = rounding.weight().detach().reshape(inside.shape)
    torch.testing.assert_close(found[inside], linear.weight.reshape(inside.shape)[inside], rtol=0, atol=2e-6)
    nearest = Rtn(**kind).nearest(linear.weight)
    torch.testing.assert_close(rounding.quantized().weight(), nearest.weight(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("by", ["channel", "tensor", 16])
def test_what_is_stored_is_what_was_trained(by: Granularity) -> None:
    torch.manual_seed(0)
    linear = layer(6, 32)
    found = [
        division(linear.weight, by),
        division(linear.weight, by, rank=3),
        Lsq(bits=3, group=by).rounding(linear),
        LsqPlus(bits=3, group=by).rounding(linear),
    ]
    for rounding in found:
        for part in rounding.parameters():
            part.data += 0.1 * torch.randn_like(part) * part.abs().clamp(min=0.5)
        assert torch.equal(rounding.weight().detach(), rounding.quantized().weight())
    ada = AdaRound(bits=3, group=by).rounding(linear)
    ada.v.data = torch.where(torch.randn_like(ada.v) > 0, 9.0, -9.0)
    assert torch.equal(ada.weight().detach(), ada.quantized().weight())


def test_divisors_have_the_papers_gradient() -> None:
    """With S' = S2 s3: -W / S'^2 within the range, 0 beyond it and for weights of 0."""
    weight = torch.tensor([[0.0, 0.3, -0.8, 0.55, -1.0, 4.0]])
    grid = Integers(bits=3, symmetric=True, scales="float32")
    within = grid.fit(split(weight[:, :5], "channel"))
    rounding = Division(weight, grid, "channel", within, step=False)
    rounding.each[0].data += 0.1
    rounding.weight().sum().backward()
    divisor = torch.tensor(0.1).exp()
    of_divisor = rounding.each[0].grad / divisor  # the chain rule of S' = e^d
    expected = -weight / divisor**2
    expected[0, 5] = 0.0
    torch.testing.assert_close(of_divisor, expected)


def test_gradient_of_the_step_goes_through_both_of_its_places() -> None:
    weight = random(1, 16)
    rounding = division(weight)
    rounding.weight().sum().backward()
    steps = (weight / rounding.steps.start[0]).flatten()
    codes = steps.round().clamp(-8, 7)
    inside = codes == steps.round()
    expected = ((codes - steps * inside) * rounding.steps.start).sum()
    torch.testing.assert_close(rounding.steps.log.grad.sum(), expected)


def test_a_rows_divisor_is_the_same_as_one_added_to_each_of_its_weights() -> None:
    one, other = division(random(5, 32)), division(random(5, 32))
    one.row.data += torch.arange(5.0)[:, None] / 20
    other.each[0].data += torch.arange(5.0)[:, None] / 20
    assert torch.equal(one.weight(), other.weight())


def test_a_channels_divisor_is_the_same_as_one_for_each_weight_of_its_kernel() -> None:
    one, other = (division(random(5, 36), kernel=9) for _ in "12")
    one.channel.data += torch.arange(4.0)[None, :, None] / 20
    other.each[0].data += torch.arange(4.0).repeat_interleave(9) / 20
    assert torch.equal(one.weight(), other.weight())


def test_full_rank_divisors_are_those_of_every_weight() -> None:
    plain, low = division(random(6, 16)), division(random(6, 16), rank=6)
    logs = random(6, 16, seed=3) / 10
    plain.each[0].data = logs
    left, strengths, right = torch.linalg.svd(logs, full_matrices=False)
    low.each[0].data, low.each[1].data = left * strengths, right
    torch.testing.assert_close(low.logarithms(), plain.logarithms(), rtol=0, atol=1e-6)
    assert torch.equal(low.quantized().codes, plain.quantized().codes)


def test_divisors_move_weights_by_many_steps_and_choices_by_one() -> None:
    weight = random(8, 64)
    flexible = division(weight)
    flexible.each[0].data += random(8, 64, seed=4)
    grid = Integers(bits=4, symmetric=True)
    choice = UpOrDown(weight, grid, "channel", grid.fit(split(weight, "channel")))
    choice.v.data = 9 * random(*choice.v.shape, seed=4)
    start = division(weight).quantized().codes.int()
    assert int((flexible.quantized().codes.int() - start).abs().max()) >= 2
    assert int((choice.quantized().codes.int() - start).abs().max()) == 1


def test_the_penalty_begins_after_the_warm_up_and_vanishes_at_the_ends() -> None:
    weight = random(4, 16)
    grid = Integers(bits=4, symmetric=True)
    choice = UpOrDown(weight, grid, "channel", grid.fit(split(weight, "channel")), strength=0.5)
    assert choice.penalty(0.1) is None
    choice.v.requires_grad_(False)
    choice.v.data.fill_(0.0)
    assert float(choice.penalty(0.5)) == pytest.approx(0.5 * 64)
    choice.v.data.fill_(9.0)
    assert float(choice.penalty(0.5)) == 0.0
    choice.v.data = inverse_soft(torch.full_like(choice.v, 0.9)).detach()
    assert float(choice.penalty(0.21)) > float(choice.penalty(0.99))  # the exponent falls


def test_soft_choices_reach_both_ends() -> None:
    h = torch.linspace(0, 1, 11)
    torch.testing.assert_close(soft(inverse_soft(h)), h, rtol=0, atol=1e-6)


def test_learned_steps_begin_where_the_papers_say() -> None:
    linear = layer(3, 64)
    plain = Lsq(bits=3).rounding(linear).steps.detach()[:, 0, 0]
    torch.testing.assert_close(plain, 2 * linear.weight.abs().mean(1) / 3**0.5)
    plus = LsqPlus(bits=3).rounding(linear).steps.detach()[:, 0, 0]
    mean, deviation = linear.weight.mean(1), linear.weight.std(1, correction=0)
    torch.testing.assert_close(plus, (mean.abs() + 3 * deviation) / 4)


def test_by_lot_is_right_on_average_and_within_a_step() -> None:
    torch.manual_seed(0)
    x = torch.linspace(-2, 2, 9)
    drawn = torch.stack([stochastic(x) for _ in range(4000)])
    assert bool(((drawn - x).abs() < 1).all())
    torch.testing.assert_close(drawn.mean(0), x, rtol=0, atol=0.04)


@pytest.mark.parametrize("symmetric", [True, False])
def test_the_grid_of_ranges_holds_no_better_one(symmetric: bool) -> None:
    weight = random(5, 24) + torch.tensor([0.0, 0.5, -1.0, 5.0, -5.0])[:, None]  # the last two of one sign
    grid = Integers(bits=2, symmetric=symmetric, scales="float32")
    groups = split(weight, "channel")
    best = best_of_grid(grid, groups, norm=2.0)
    error = (grid.round(groups, best) - groups).square().sum(-1)
    low, high = weight.amin(1).clamp(max=0), weight.amax(1).clamp(min=0)
    width = 2 * torch.maximum(-low, high) if symmetric else high - low
    for step in range(1, 101):
        for zero in range(4):
            scale = (width * step / 100 / 3)[:, None, None]
            tried = Range(scale, None if symmetric else torch.full_like(scale, zero))
            assert bool((error <= (grid.round(groups, tried) - groups).square().sum(-1) * (1 + 1e-5)).all())


def test_the_grid_of_ranges_is_a_start() -> None:
    linear = layer(8, 32)
    errors = []
    for search in ("grid", "error", "minmax"):
        found = FlexRound(bits=3, search=search).rounding(linear).quantized().weight()
        errors.append(float((found - linear.weight).abs().pow(2.4).sum()))
    assert errors[0] < errors[1] < errors[2]
