"""Wanda against the same rule put down plainly, and the identities that it must keep."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.compress.prune import reference
from tests.compress.prune.reference import MODELS, calibration, same_weights, survivors_are_untouched, weights
from tests.models import zoo

from etude.compress.prune import Magnitude, Wanda
from etude.compress.prune.masks import removal_mask
from etude.errors import InputError
from etude.models.blocks import block_linears
from etude.testing import check_method


def by_hand(model: Any, padding: bool, choose: Any) -> None:
    def score(_: str, weight: torch.Tensor, norm: torch.Tensor) -> torch.Tensor:
        return weight.abs() * norm

    reference.prune_by_block(model, calibration(padding), score, choose)


@pytest.mark.parametrize("padding", [False, True])
@pytest.mark.parametrize("sparsity", [0.3, 0.5, 0.75])
@pytest.mark.parametrize("name", MODELS)
def test_the_rule_of_the_paper(name: str, sparsity: float, padding: bool) -> None:
    pruned, expected = MODELS[name](), MODELS[name]()
    Wanda(sparsity=sparsity, feed="block").prune(pruned, calibration(padding))
    by_hand(expected, padding, lambda score: reference.lowest_of_rows(score, sparsity))
    assert same_weights(pruned, expected)


@pytest.mark.parametrize(("n", "m"), [(2, 4), (4, 8), (1, 4)])
def test_n_of_m(n: int, m: int) -> None:
    pruned, expected = zoo.llama(), zoo.llama()
    Wanda(sparsity=1 - n / m, pattern=f"{n}:{m}", feed="block").prune(pruned, calibration())
    by_hand(expected, False, lambda score: reference.lowest_of_groups(score, n, m))
    assert same_weights(pruned, expected)


def test_the_cumulative_variant() -> None:
    pruned, expected = zoo.llama(), zoo.llama()
    Wanda(rule="cumulative", feed="block").prune(pruned, calibration())
    by_hand(expected, False, lambda score: removal_mask(score, 0.5, rule="cumulative"))
    assert same_weights(pruned, expected)
    assert len({int(zeros) for w in weights(pruned).values() for zeros in (w == 0).sum(1)}) > 3


@pytest.mark.parametrize("feed", ["linear", "block", "dense"])
@pytest.mark.parametrize("name", MODELS)
def test_exact_counts_and_untouched_survivors(name: str, feed: Any) -> None:
    model = MODELS[name]()
    Wanda(sparsity=0.3, feed=feed).prune(model, calibration())
    for weight in weights(model).values():
        assert ((weight == 0).sum(1) == int(weight.shape[1] * 0.3)).all()
    assert survivors_are_untouched(model, MODELS[name]())


def test_the_feeds_differ_once_something_is_pruned() -> None:
    pruned = {feed: zoo.llama() for feed in ("linear", "block", "dense")}
    for feed, model in pruned.items():
        Wanda(sparsity=0.5, feed=feed).prune(model, calibration())  # type: ignore[arg-type]
    first = "model.layers.0.self_attn.q_proj"
    masks = {feed: weights(model) for feed, model in pruned.items()}
    assert torch.equal(masks["linear"][first], masks["dense"][first])
    names = [linear.name for linear in block_linears(zoo.llama())]
    for one, other in (("linear", "block"), ("block", "dense")):
        assert any(not torch.equal(masks[one][name], masks[other][name]) for name in names)


def test_order_of_segments_and_repetition_do_not_matter() -> None:
    one, other, twice = zoo.llama(), zoo.llama(), zoo.llama()
    part = calibration()
    Wanda(sparsity=0.5).prune(one, part)
    Wanda(sparsity=0.5).prune(other, {key: value.flip(0) for key, value in part.items()})
    Wanda(sparsity=0.5).prune(twice, {key: torch.cat([value, value]) for key, value in part.items()})
    assert same_weights(one, other)
    assert same_weights(one, twice)


def test_inputs_of_equal_size_leave_the_magnitude() -> None:
    """With a norm before every layer and one feature as large as the other, Wanda is magnitude by row."""
    weight = torch.randn(8, 32, generator=torch.Generator().manual_seed(0)).abs()
    assert torch.equal(removal_mask(weight * torch.full((32,), 3.0), 0.5), removal_mask(weight, 0.5))
    by_row, by_matrix = zoo.llama(), zoo.llama()
    Magnitude(within="row").prune(by_row)
    Magnitude(within="matrix").prune(by_matrix)
    assert not same_weights(by_row, by_matrix)


def test_a_model_that_is_not_finite_is_refused() -> None:
    model = zoo.llama()
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight[0, 0] = torch.nan
    with pytest.raises(InputError, match="not finite"):
        Wanda().prune(model, calibration())


def test_what_does_not_fit_is_refused_before_any_work() -> None:
    with pytest.raises(InputError, match="rule: "):
        Wanda(rule="cumulative", pattern="2:4")
    model = zoo.llama()
    with pytest.raises(InputError, match="pattern: 1:5"):
        Wanda(sparsity=0.8, pattern="1:5").prune(model, calibration())
    assert same_weights(model, zoo.llama())


@pytest.mark.parametrize("settings", [{"rule": "cumulative"}, {"pattern": "2:4"}, {"feed": "block"}])
def test_variants_pass_what_every_method_must(settings: dict[str, Any]) -> None:
    check_method(Wanda, **settings)
