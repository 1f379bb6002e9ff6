"""Rounding to nearest: what is stored is what the model computes with."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from etude.compress.quantize import Rtn
from etude.compress.quantize.grids import joined, split
from etude.errors import InputError
from etude.fields import fields
from etude.models.blocks import block_linears

from .models import gpt2, layer, llama, random


@settings(deadline=None, max_examples=40)
@given(
    st.integers(2, 8),
    st.sampled_from([4, 16, "channel", "tensor"]),
    st.booleans(),
    st.sampled_from(["compressed-tensors", "awq", "gguf"]),
)
def test_what_is_stored_decodes_to_the_rounded_weight(
    bits: int, group: int | str, symmetric: bool, convention: str
) -> None:
    method = Rtn(bits=bits, group=group, symmetric=symmetric, convention=convention)  # type: ignore[arg-type]
    weight = random(6, 32)
    groups = split(weight, group)  # type: ignore[arg-type]
    expected = joined(method.grid.round(groups, method.fit(groups)), (6, 32))
    torch.testing.assert_close(method.nearest(weight).base(), expected, rtol=1e-6, atol=1e-6)


def test_counts_the_bits_that_are_stored() -> None:
    weight = random(8, 128)
    assert Rtn(bits=4, group=64).nearest(weight).stored_bits() == 8 * 128 * 4 + 8 * 2 * (16 + 4)
    assert Rtn(bits=3, group="channel", symmetric=True).nearest(weight).stored_bits() == 8 * 128 * 3 + 8 * 16
    assert (
        Rtn(bits=8, numbers="e4m3", group="tensor", scales="float32").nearest(weight).stored_bits()
        == 8192 + 32
    )
    assert (
        Rtn(bits=4, group=32, convention="gguf").nearest(weight).stored_bits() == 8 * 4 * 20 * 8
    )  # Q4_1's blocks


def test_more_bits_and_smaller_groups_lose_less() -> None:
    weight = random(32, 128)
    by_bits = [float((Rtn(bits=bits).nearest(weight).base() - weight).norm()) for bits in range(2, 9)]
    assert by_bits == sorted(by_bits, reverse=True)
    groups = (32, 64, "channel", "tensor")
    by_group = [float((Rtn(group=group).nearest(weight).base() - weight).norm()) for group in groups]
    assert by_group == sorted(by_group)


def test_glm_130b_rows() -> None:
    """``s = max|w| / (2^(b-1) - 1)``, whole numbers between the two ends, zeros stay zero."""
    weight = random(5, 64)
    weight[2] = 0
    method = Rtn(group="channel", symmetric=True, convention="awq", scales="float16")
    stored = method.nearest(weight)
    scale = (weight.abs().amax(1) / 7).half().float()
    levels = (weight / torch.where(scale == 0, 1, scale)[:, None]).round()
    assert torch.equal(stored.codes.int() - 8, levels.int())
    assert float(stored.base()[2].abs().max()) == 0
    assert torch.equal(method.nearest(stored.base()).base(), stored.base())  # fixed point


@pytest.mark.parametrize("make", [llama, gpt2])
def test_every_linear_of_the_blocks_and_nothing_else(make: object) -> None:
    model, before = make(), make()  # type: ignore[operator]
    stored = Rtn(bits=3, group=16).quantize(model)
    linears = {linear.name: linear.weight for linear in block_linears(model)}
    assert stored.keys() == linears.keys()
    for name, weight in linears.items():
        assert torch.equal(stored[name].weight(), weight)
    weights = {linear.module.weight.data_ptr() for linear in block_linears(model)}
    for (name, parameter), other in zip(model.named_parameters(), before.parameters(), strict=True):
        assert torch.equal(parameter, other) == (parameter.data_ptr() not in weights), name


def test_compensation_with_full_rank_restores_the_weight() -> None:
    linear = layer(12, 32)
    before = linear.weight.clone()
    method = Rtn(bits=2, group="channel", rank=12)
    stored = method.put(linear, method.nearest(linear.weight))
    torch.testing.assert_close(linear.weight, before, rtol=1e-2, atol=5e-3)
    assert stored.low_rank is not None and stored.low_rank.rank == 12


def test_bad_combinations_are_refused_before_any_work() -> None:
    model = llama()
    before = [linear.weight.clone() for linear in block_linears(model)]
    for field, call in (
        ("bits", lambda: Rtn(bits=9)),
        ("bits", lambda: Rtn(bits=4, numbers="e4m3")),
        ("numbers", lambda: Rtn(numbers="fp4")),
        ("group", lambda: Rtn(group="row")),  # type: ignore[arg-type]
        ("group", lambda: Rtn(group=0)),
        ("group", lambda: Rtn(group=48).quantize(model)),
    ):
        with pytest.raises(InputError) as error:
            call()
        assert error.value.field == field
    assert all(torch.equal(a, b.weight) for a, b in zip(before, block_linears(model), strict=True))


def test_every_field_is_described() -> None:
    assert all(field.help for field in fields(Rtn))
