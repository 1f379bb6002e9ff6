"""ZeroQuant-FP: its scales, its casts, GPTQ with floating-point numbers, and what the inputs go through."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from etude.compress.quantize import Gptq, ZeroQuantFP
from etude.compress.quantize.gptq import Columns
from etude.compress.quantize.grids import Floats, Range, power_of_two, power_of_two_ratios, split
from etude.compress.quantize.zeroquant_fp import as_fp8
from etude.errors import InputError
from etude.models import inputs
from etude.models.blocks import block_linears

from .models import correlated, llama, logits, random, tokens


def _solved(method: Gptq, weight: torch.Tensor, seed: int = 0) -> Any:
    x = correlated(256, weight.shape[1], seed)
    return method.solve(weight.clone(), Columns(x.T @ x, 0.01, act_order=False))


@pytest.mark.parametrize("ratio", ["ceil", "floor", "nearest"])
def test_constrained_scales_differ_by_powers_of_two(ratio: Any) -> None:
    weight = random(6, 64) * random(6, 64, seed=3).exp()
    plain = ZeroQuantFP(group=16).fit(split(weight, 16)).scale
    m1 = ZeroQuantFP(group=16, constraint="m1", ratio=ratio).fit(split(weight, 16)).scale
    m2 = ZeroQuantFP(group=16, constraint="m2", ratio=ratio).fit(split(weight, 16)).scale
    matrix = (
        ZeroQuantFP(group=16, constraint="m2", ratio=ratio, compute="matrix").fit(split(weight, 16)).scale
    )
    for scale in (m1, m2 / m2.amax(1, keepdim=True), matrix / matrix.max()):
        assert torch.equal(scale.log2(), scale.log2().round())
    assert torch.equal(m2.amax(1), plain.amax(1))
    assert float(matrix.max()) == float(plain.max())
    if ratio == "ceil":
        assert bool(((m1 / plain >= 1) & (m1 / plain < 2)).all())
        assert bool(((m2 / plain <= 1) & (m2 / plain > 0.5)).all())


def test_powers_of_two_are_left_as_they_are() -> None:
    scale = torch.exp2(torch.tensor([[-3.0, 2.0, 0.0, -8.0]]))
    assert torch.equal(power_of_two(scale), scale)
    assert torch.equal(power_of_two_ratios(scale), scale)


def test_fp8_holds_shifted_fp4_exactly_up_to_eight() -> None:
    grid = Floats.named("e2m1", scales="float32")
    levels = grid.levels()
    for shift in range(9):
        shifted = levels * 2.0**-shift
        assert torch.equal(shifted.to(torch.float8_e4m3fn).float(), shifted)
    assert not torch.equal((levels / 2**9).to(torch.float8_e4m3fn).float(), levels / 2**9)
    weight = random(5, 64)
    stored = ZeroQuantFP(group=16, constraint="m2").nearest(weight)
    eight, scale = as_fp8(stored)
    assert torch.equal(eight.float() * scale, stored.base())
    with pytest.raises(InputError) as error:
        as_fp8(ZeroQuantFP(group=16).nearest(weight))
    assert error.value.field == "constraint"


@pytest.mark.parametrize("constraint", ["none", "m1", "m2"])
def test_without_correlation_gptq_is_rounding_to_nearest(constraint: Any) -> None:
    method = ZeroQuantFP(group=16, constraint=constraint, static_groups=True)
    weight = random(6, 64)
    solved = method.solve(weight.clone(), Columns(torch.eye(64), 0.01, act_order=False))
    assert torch.equal(solved.base(), method.nearest(weight).base())


@pytest.mark.parametrize("constraint", ["none", "m1", "m2"])
def test_columns_answer_for_constrained_scales(constraint: Any) -> None:
    """The constraint is there before GPTQ: the output errs less than under rounding to nearest."""
    method = ZeroQuantFP(group=16, constraint=constraint)
    weight, x = random(12, 64), correlated(256, 64)
    lost = [
        float(((stored.base() - weight) @ x.T).norm())
        for stored in (_solved(method, weight), method.nearest(weight))
    ]
    assert lost[0] < lost[1]
    if constraint != "none":
        static = method.fit(split(weight, 16)).scale[..., 0]
        assert torch.equal(_solved(method, weight).scale, static)


def test_mxfp4_is_m1_with_its_own_exponent() -> None:
    """OCP MX: ``2^(floor(log2 max) - 2)`` with saturation is M1's floor of ``max / 4``."""
    weight = random(4, 64)
    peak = split(weight, 32).abs().amax(-1, keepdim=True)
    ours = power_of_two(peak / 4, "floor")
    assert torch.equal(ours, torch.exp2(peak.log2().floor() - 2))
    grid = Floats.named("e2m1")
    assert float(grid.round(split(weight, 32), Range(ours)).abs().div(ours).max()) <= 6


def test_inputs_are_fp8_by_token() -> None:
    model = llama()
    ZeroQuantFP(group=16).quantize(model, tokens())
    layers = inputs.installed(model)
    assert layers.keys() == {linear.name for linear in block_linears(model)}
    x = 100 * random(7, 32) * random(7, 1, seed=5).exp()
    scale = x.abs().amax(1, keepdim=True) / 448
    expected = (x / scale).to(torch.float8_e4m3fn).float() * scale
    torch.testing.assert_close(layers["model.layers.0.mlp.up_proj"].round(x), expected, rtol=0, atol=0)


def test_mixtures_and_their_order() -> None:
    """Weights are as without rounded inputs; each part that is rounded changes the model."""
    seen = {}
    for name, method in {
        "weights": ZeroQuantFP(group=16, activations="none"),
        "fp": ZeroQuantFP(group=16),
        "int": ZeroQuantFP(group=16, numbers="int", activations="int"),
    }.items():
        model = llama()
        method.quantize(model, tokens())
        seen[name] = {linear.name: linear.weight.clone() for linear in block_linears(model)}
        seen[f"{name} logits"] = {"": logits(model)}
    assert all(torch.equal(seen["weights"][name], seen["fp"][name]) for name in seen["fp"])
    assert not torch.equal(seen["weights logits"][""], seen["fp logits"][""])
    assert not torch.equal(seen["int logits"][""], seen["fp logits"][""])


@pytest.mark.parametrize(
    ("field", "settings"),
    [
        ("activations", {"activations": "fp8"}),
        ("activation_bits", {"activations": "e2m1"}),
        ("bits", {"numbers": "e4m3"}),
        ("constraint", {"numbers": "int", "symmetric": False, "constraint": "m1"}),
        ("constraint", {"numbers": "int", "convention": "gguf", "constraint": "m2"}),
    ],
)
def test_what_does_not_go_together_is_refused(field: str, settings: dict[str, Any]) -> None:
    with pytest.raises(InputError) as error:
        ZeroQuantFP(**settings)
    assert error.value.field == field
