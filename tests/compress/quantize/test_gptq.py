"""GPTQ: where it is rounding to nearest, that it beats it elsewhere, and what orders and blocks change."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from etude.compress.quantize import Gptq, Rtn
from etude.compress.quantize.gptq import Columns, spans
from etude.models.blocks import block_linears

from .models import correlated, gpt2, llama, logits, random, tokens

FORMATS: list[dict[str, Any]] = [
    {"bits": 4, "group": 16},
    {"bits": 3, "group": "channel", "symmetric": True},
    {"bits": 3, "group": "tensor"},
    {"bits": 3, "group": 48, "convention": "gguf"},
    {"bits": 4, "group": 16, "numbers": "e2m1"},
    {"bits": 3, "group": 16, "search": "error"},
]
ORDERS: list[dict[str, Any]] = [
    {},
    {"act_order": True},
    {"act_order": True, "static_groups": True},
    {"static_groups": True, "block": 32},
]


def solve(method: Gptq, weight: Tensor, gram: Tensor) -> Tensor:
    return method.solve(weight, Columns(gram, method.damping, method.act_order)).weight()


def output_error(weight: Tensor, other: Tensor, x: Tensor) -> float:
    return float(((weight - other) @ x.T).square().sum())


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("order", ORDERS)
def test_independent_inputs_give_rounding_to_nearest(kind: dict[str, Any], order: dict[str, Any]) -> None:
    weight = random(10, 144)
    found = solve(Gptq(**kind, **order), weight, 3 * torch.eye(144))
    torch.testing.assert_close(found, Rtn(**kind).nearest(weight).weight(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("order", ORDERS)
def test_output_error_is_below_that_of_rounding(kind: dict[str, Any], order: dict[str, Any]) -> None:
    weight, x = random(24, 144), correlated(400, 144)
    found = solve(Gptq(**kind, **order), weight, x.T @ x)
    assert output_error(found, weight, x) < 0.8 * output_error(
        Rtn(**kind).nearest(weight).weight(), weight, x
    )


def test_one_column_is_rounding() -> None:
    weight = random(10, 1)
    method = Gptq(group="tensor")
    assert torch.equal(
        solve(method, weight, torch.tensor([[2.0]])), Rtn(group="tensor").nearest(weight).weight()
    )


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 300), st.sampled_from([1, 7, 96, 128, 1000]))
def test_blocks_change_speed_and_nothing_else(width: int, block: int) -> None:
    weight, x = random(6, width), correlated(2 * width, width)
    one = solve(Gptq(group="channel", block=block), weight, x.T @ x)
    other = solve(Gptq(group="channel", block=width), weight, x.T @ x)
    step = Rtn(group="channel").nearest(weight).scale.max()
    # Sums in another order may tip a tie, which then moves what follows: seldom.
    assert float(((one - other).abs() > 0.5 * step).float().mean()) < 0.02


@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 50))
def test_spans_cover_all_columns_and_keep_groups_current(groups: int, size: int, block: int) -> None:
    found = list(spans(groups * size, size, block))
    assert [i for start, end in found for i in range(start, end)] == list(range(groups * size))
    for start, end in found:
        assert end - start <= block
        for first in range(start, end):
            if first % size == 0 and first > start:
                assert first + size <= end  # the group's columns are all within the block


def test_first_columns_by_hand() -> None:
    """Two inputs that always agree: the second weight takes over the whole error of the first."""
    weight = torch.tensor([[0.4, 0.4, 1.0]])
    gram = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    method = Gptq(bits=2, group="channel", symmetric=True, convention="awq", damping=1e-4)  # levels -2..1
    # 0.4 -> 0; then 0.4 + 0.4 -> 1: together 1 instead of 0.8, where rounding each would give 0.
    assert solve(method, weight, gram).tolist() == [[0.0, 1.0, 1.0]]


def test_inputs_that_never_occur_get_no_weight() -> None:
    x = correlated(200, 32)
    x[:, 5] = 0
    found = solve(Gptq(group=16), random(8, 32), x.T @ x)
    assert float(found[:, 5].abs().max()) == 0
    assert bool(found.isfinite().all())


def test_order_with_dynamic_groups_is_stored_and_decodes() -> None:
    weight, x = random(12, 64), correlated(300, 64)
    method = Gptq(group=16, act_order=True)
    problem = Columns(x.T @ x, method.damping, True)
    stored = method.solve(weight, problem)
    assert stored.index is not None and stored.index.bincount().tolist() == [16] * 4
    assert int(stored.index[problem.order[0]]) == 0
    plain = Gptq(group=16, act_order=True, static_groups=True).solve(weight, problem)
    assert plain.index is None


@pytest.mark.parametrize("feed", ["linear", "block", "dense"])
@pytest.mark.parametrize("make", [llama, gpt2])
def test_whole_models(make: Any, feed: str) -> None:
    dense, ours, rounded = make(), make(), make()
    stored = Gptq(bits=3, group=16, feed=feed).quantize(ours, tokens(64))
    Rtn(bits=3, group=16).quantize(rounded)
    for linear in block_linears(ours):
        assert torch.equal(stored[linear.name].weight(), linear.weight)
    expected = logits(dense)
    assert (logits(ours) - expected).norm() < (logits(rounded) - expected).norm()


def test_compensation_is_of_the_weight_that_was() -> None:
    before, model = llama(), llama()
    stored = Gptq(bits=2, group="channel", rank=32).quantize(model, tokens(32))
    weights = {linear.name: linear.weight for linear in block_linears(before)}
    for name, layer in stored.items():
        if min(layer.shape) <= 32:
            torch.testing.assert_close(layer.weight(), weights[name], rtol=1e-2, atol=1e-2)
