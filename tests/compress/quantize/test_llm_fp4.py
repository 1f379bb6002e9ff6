"""LLM-FP4: its numbers, its search, and shifts that cost nothing wherever they are put."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from etude import models
from etude.compress.quantize import LlmFp4
from etude.compress.quantize.activation_format import float_numbers
from etude.compress.quantize.float_search import (
    FloatSearch,
    bias_of,
    candidates,
    formats,
    preshifts,
    scale_of,
    scaled,
)
from etude.compress.quantize.grids import Floats, Integers, Range
from etude.compress.quantize.product_search import ProductSearch, rounded, unpadded
from etude.errors import InputError
from etude.models import inputs
from etude.models.blocks import block_linears
from etude.models.products import operands

from .models import correlated, llama, logits, random, tokens

QUICK: dict[str, Any] = {"rounds": 1, "stride": 32, "judged": 64}
EIGHT: dict[str, Any] = {"bits": 8, "numbers": "e3m4", "activation_bits": 8, "activations": "e3m4"}
THOROUGH: dict[str, Any] = {"rounds": 3, "stride": 8, "judged": 64}


def papers_quantiser(x: Tensor, exponent: int, mantissa: int, bias: Tensor) -> Tensor:
    """The formula as printed, in float64: clamp, ``p = max(1, floor(log2|x| + b))``, step ``2^(p-M-b)``."""
    x, bias = x.double(), bias.double()
    largest = (2 - 2.0**-mantissa) * torch.exp2(2**exponent - 1 - bias)
    x = x.clamp(-largest, largest)
    p = (x.abs().log2() + bias).floor().clamp(min=1)
    step = torch.exp2(p - mantissa - bias)
    return step * (x / step).round()


@pytest.mark.parametrize("grid", [*formats(4), *formats(6), *formats(8)], ids=lambda grid: grid.name)
@pytest.mark.parametrize("peak", [0.11, 1.0, 37.0])
def test_a_real_bias_is_a_scale(grid: Floats, peak: float) -> None:
    x = random(500) * peak / 2
    bias = bias_of(grid, torch.tensor(peak))
    expected = papers_quantiser(x, grid.exponent, grid.mantissa, bias)
    found = grid.round(x, Range(scale_of(grid, bias)))
    off = (found.double() - expected).abs() > 1e-5 * peak
    assert int(off.sum()) <= 1  # right between two numbers, where float32 and float64 part
    assert float(found.abs().max()) <= peak * (1 + 1e-6)


def test_code_sets() -> None:
    assert Floats.named("e2m1").levels().unique().tolist() == [
        -6, -4, -3, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3, 4, 6,
    ]  # fmt: skip
    e4m3 = Floats(exponent=4, mantissa=3, specials="none")
    assert e4m3.largest == 480
    x = random(2000) * 100
    eight = x[x.abs() < 448]
    one = Range(torch.tensor(1.0))
    assert torch.equal(e4m3.round(eight, one), eight.to(torch.float8_e4m3fn).float())
    for grid in formats(4):
        levels = grid.levels()
        assert torch.equal(grid.round(levels, one), levels)


def test_one_exponent_bit_is_an_even_grid() -> None:
    """E1M2 is INT4 within ±7 steps."""
    x = random(300) * 3
    float_ = formats(4)[0].round(x, Range(torch.tensor(1.0)))
    step = formats(4)[0].levels()[1]
    assert torch.equal(float_, (x / step).round().clamp(-7, 7) * step)
    assert Integers(bits=4, symmetric=True).levels().abs().max() == 8


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 99), st.sampled_from(formats(4)))
def test_shifts_are_exact(seed: int, grid: Floats) -> None:
    """Rounding under the biases ``r + k_j`` is ``2^-k Q_r(2^k x)``, bit for bit."""
    x = random(16, 12, seed=seed) * torch.exp2(torch.arange(12.0) - 6)
    bias = bias_of(grid, x.abs().max())
    shift = preshifts(grid, bias_of(grid, x.abs().amax(0)), bias)
    assert int(shift.min()) >= 0 and int(shift.max()) <= 2**grid.exponent - 1
    factor = torch.exp2(shift.float())
    numbers, scale = float_numbers(grid), scale_of(grid, bias)
    each = numbers.round(x, scale.expand(12).ldexp(-shift), None)
    assert torch.equal(each, numbers.round(x * factor, scale, None) / factor)


def _search(shifted: bool, x: Tensor, weight: Tensor, stride: int = 1) -> FloatSearch:
    return FloatSearch(weight, x, x.abs().amax(0), formats(4), formats(4), shifted, stride)


def test_the_search_beats_every_format_at_its_extremes() -> None:
    """Factor 1 is among the candidates, so that no row errs more than without a search."""
    x, weight = correlated(128, 32), random(24, 32)
    search = _search(False, x, weight)
    for grid in formats(4):
        found = search.best_weight(grid, x)
        plain = grid.round(weight, grid.fit(weight))
        searched = search.rounded_weight(found)
        lost = [((w - weight) @ x.T).square().sum(1) for w in (searched, plain)]
        assert bool((lost[0] <= lost[1] * (1 + 1e-3)).all())
        torch.testing.assert_close(float(lost[0].sum()), found.error, rtol=1e-3, atol=0.0)
    chosen, given = search.run(rounds=3)
    assert given is not None
    best = (search.rounded_inputs(given) @ search.rounded_weight(chosen).T - x @ weight.T).square().sum()
    for grid in formats(4):
        numbers = float_numbers(grid)
        rounded = numbers.round(x, *numbers.fit(x.flatten()))
        minmax = (rounded @ grid.round(weight, grid.fit(weight)).T - x @ weight.T).square().sum()
        assert float(best) < float(minmax)


def test_coarse_search_is_near_the_full_one() -> None:
    x, weight = correlated(128, 32), random(24, 32)
    full, coarse = (_search(True, x, weight, stride).run(2) for stride in (1, 8))
    assert coarse[0].error <= 1.1 * full[0].error


def test_equal_features_need_no_shift() -> None:
    x = random(64, 16)
    x[0] = 4.0
    x = x.clamp(-4, 4)
    weight = random(8, 16)
    shifted, plain = (_search(on, x, weight, stride=8).run(2) for on in (True, False))
    assert shifted[1] is not None and plain[1] is not None and shifted[1].shift is not None
    assert int(shifted[1].shift.abs().max()) == 0
    assert torch.equal(shifted[1].scale, plain[1].scale.expand(16))
    assert torch.equal(shifted[0].scale, plain[0].scale)


def test_factors_widen_the_range_whatever_the_sign_of_the_bias() -> None:
    factors, one = candidates()
    assert float(factors[one]) == 1 and len(factors) == 101
    for bias in (5.0, 0.0, -3.0):
        assert bool((scaled(torch.tensor(bias), factors).diff() > 0).all())
    torch.testing.assert_close(scaled(torch.tensor(5.0), factors), 5 * factors)


def _wide() -> Any:
    """A model whose features differ in size, so that there is something to shift."""
    model = llama(kv_heads=4)
    for layer in model.model.layers:
        for norm in (layer.input_layernorm, layer.post_attention_layernorm):
            norm.weight.data *= torch.exp2(torch.arange(32) % 4)
    return model


def test_exponents_shifted_is_the_same_model() -> None:
    """Folded into weights and the operator before, shifts cost nothing; inputs then share one scale."""
    models = {}
    for shift in ("inputs", "exponents"):
        models[shift] = _wide()
        settings: dict[str, Any] = {**THOROUGH, "shift": shift, "activations": "e2m1"}
        stored = LlmFp4(**settings).quantize(models[shift], tokens())
        for linear in block_linears(models[shift]):
            assert torch.equal(stored[linear.name].weight(), linear.weight)
    roundings = inputs.installed(models["exponents"])
    folded = [
        name
        for name, rounding in roundings.items()
        if rounding.scale is not None and rounding.scale.ndim == 0
    ]
    assert len(folded) == 14  # every layer of both blocks, since no values are shared among queries
    assert max(float(r.scale.max() / r.scale.min()) for r in inputs.installed(models["inputs"]).values()) >= 2  # type: ignore[union-attr]
    dense = logits(_wide())
    lost = {shift: float((logits(model) - dense).norm()) for shift, model in models.items()}
    assert lost["exponents"] < 1.1 * lost["inputs"]  # layers that share an input are searched together


def test_folding_after_the_search_changes_nothing() -> None:
    """The same choices, simulated and folded, give the same logits."""
    model = _wide()
    for layer in model.model.layers:  # one reader for each norm: together is then one by one
        for name in ("q_proj", "k_proj"):
            layer.self_attn.get_submodule(name).weight.data.zero_()
        layer.mlp.gate_proj.weight.data.zero_()
    one, other = copy.deepcopy(model), copy.deepcopy(model)
    LlmFp4(**QUICK, shift="inputs", numbers="e2m1").quantize(one, tokens())
    LlmFp4(**QUICK, shift="exponents", numbers="e2m1").quantize(other, tokens())
    torch.testing.assert_close(logits(one), logits(other), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("shift", ["none", "inputs", "exponents", "weights"])
def test_what_is_stored_is_what_is_computed(shift: Any) -> None:
    model = _wide()
    stored = LlmFp4(**QUICK, shift=shift).quantize(model, tokens())
    assert stored.keys() == inputs.installed(model).keys()
    for linear in block_linears(model):
        assert torch.equal(stored[linear.name].weight(), linear.weight)
        assert torch.equal(stored[linear.name].packed().weight(), linear.weight)


def test_quantised_one_after_the_other() -> None:
    """The sequential form: inputs come from what was quantised before."""
    model = _wide()
    before = logits(model)
    LlmFp4(**THOROUGH, feed="linear", bits=8, activation_bits=8).quantize(model, tokens())
    assert float((logits(model) - before).norm() / before.norm()) < 0.2


@pytest.mark.parametrize(
    ("field", "settings"),
    [
        ("numbers", {"numbers": "fp4"}),
        ("numbers", {"numbers": "none"}),
        ("bits", {"numbers": "e4m3"}),
        ("activations", {"activations": "fp4"}),
        ("activation_bits", {"activations": "e4m3"}),
        ("feed", {"shift": "weights", "feed": "linear"}),
        ("products", {"products": "fp4"}),
        ("activation_bits", {"products": "e4m3"}),
        ("products", {"products": "search", "feed": "linear"}),
        ("products", {"products": "search", "shift": "exponents"}),
        ("scales", {"scales": "float8", "shift": "exponents"}),
    ],
)
def test_what_does_not_go_together_is_refused(field: str, settings: dict[str, Any]) -> None:
    with pytest.raises(InputError) as error:
        LlmFp4(**settings)
    assert error.value.field == field


def test_weights_alone() -> None:
    model = llama()
    assert len(LlmFp4(**QUICK, activations="none").quantize(model, tokens())) == 14
    assert inputs.installed(model) == {}


def _operands() -> tuple[Tensor, Tensor]:
    return (random(2, 3, 12, 12) * 2).softmax(-1), random(2, 3, 12, 8, seed=1) * torch.arange(1, 9)


def test_products_are_searched_to_less_than_any_format_loses_at_its_extremes() -> None:
    left, right = _operands()
    one, other = ProductSearch(left, right, formats(4), stride=1).run(rounds=3)
    found = (rounded(left, one) @ rounded(right, other) - left @ right).square().sum()
    torch.testing.assert_close(float(found), other.error, rtol=1e-3, atol=0.0)
    for grid in formats(4):
        numbers = float_numbers(grid)
        plain = [numbers.round(x, *numbers.fit(x.flatten())) for x in (left, right)]
        assert float(found) < float((plain[0] @ plain[1] - left @ right).square().sum())
    coarse = ProductSearch(left, right, formats(4), stride=8).run(rounds=3)
    assert coarse[1].error <= 1.1 * other.error


def test_products_of_padding_are_not_judged() -> None:
    left, right = _operands()
    mask = torch.ones(2, 12, dtype=torch.long)
    mask[1, 7:] = 0
    left = left.clone()
    left[1, :, :, 7:] = 0  # what a mask does to probabilities
    wild = right.clone()
    wild[1, :, 7:] = 1e3
    searches = [
        ProductSearch(unpadded(left, mask), unpadded(values, mask), formats(4), 8) for values in (right, wild)
    ]
    (one, other), (again, still) = (search.run(2) for search in searches)
    assert torch.equal(one.scale, again.scale) and torch.equal(other.scale, still.scale)


@pytest.mark.parametrize("name", ["nano-bert", "nano-vit"])
def test_products_of_encoders_are_rounded_and_come_back(name: str, tmp_path: Path) -> None:
    model, _ = models.load(name)
    draw = torch.Generator().manual_seed(0)
    text = {"input_ids": torch.randint(5, 4096, (4, 16), generator=draw)}
    images = {"pixel_values": torch.randn(4, 3, 32, 32, generator=draw)}
    calibration = text if name == "nano-bert" else images
    with torch.no_grad():
        before = model(**calibration).logits
        method = LlmFp4(**QUICK, **EIGHT, products="search")
        stored = method.quantize(model, calibration)
        found = model(**calibration).logits
        roundings = inputs.installed(model)
        assert len(operands(model)) == 16 and roundings.keys() == stored.keys() | set(operands(model))
        assert all(roundings[operand].scale.ndim == 0 for operand in operands(model))  # type: ignore[union-attr]
        assert 0 < float((found - before).norm() / before.norm()) < 0.1
        models.save(model, None, tmp_path / "model")
        assert torch.equal(models.load(tmp_path / "model")[0](**calibration).logits, found)
