"""Grids against the enumeration of their levels, and against the formats that others define."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from etude.compress.quantize import Rtn
from etude.compress.quantize.grids import (
    Binary,
    Floats,
    Grid,
    Integers,
    Range,
    decode,
    joined,
    power_of_two,
    power_of_two_ratios,
    split,
    spread,
)
from etude.errors import InputError

CONVENTIONS = ("compressed-tensors", "awq", "gguf")
STORAGES = ("float32", "float16", "bfloat16", "power-of-two")
FORMATS = [(e, m) for e in range(1, 8) for m in range(7) if 3 <= 1 + e + m <= 8]

integers = st.builds(
    Integers,
    bits=st.integers(2, 8),
    symmetric=st.booleans(),
    convention=st.sampled_from(CONVENTIONS),
    scales=st.sampled_from(STORAGES),
)
floats = st.sampled_from(FORMATS).flatmap(
    lambda em: st.builds(
        Floats,
        exponent=st.just(em[0]),
        mantissa=st.just(em[1]),
        specials=st.sampled_from(["none", "nan", "ieee"] if em[0] > 1 else ["none"]),
        bias=st.none() | st.floats(-2, 6),
    )
)
grids = st.one_of(integers, floats, st.builds(Binary, centred=st.booleans()))


def random(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def representable(grid: Grid, within: Range) -> Tensor:
    """All values of each group by enumeration: ``[groups, codes]``, float64."""
    levels = grid.levels().double()
    levels = levels[levels.isfinite()]
    zero = 0.0 if within.zero is None else within.zero.double()
    return within.scale.double() * (levels - zero)


@settings(deadline=None, max_examples=200)
@given(grids, st.integers(0, 10**6), st.sampled_from([0.01, 1.0, 30.0]), st.sampled_from([0.6, 1.0]))
def test_rounds_to_the_nearest_value_that_exists(grid: Grid, seed: int, size: float, shrink: float) -> None:
    groups = random(seed, 5, 16) * size
    within = grid.fit(groups, shrink)
    rounded = grid.round(groups, within).double()
    nearest = (representable(grid, within)[:, None, :] - groups.double()[:, :, None]).abs().amin(-1)
    torch.testing.assert_close((rounded - groups.double()).abs(), nearest, rtol=1e-4, atol=1e-5 * size)


@settings(deadline=None, max_examples=200)
@given(grids, st.integers(0, 10**6))
def test_codes_stand_for_the_rounded_values(grid: Grid, seed: int) -> None:
    groups = random(seed, 5, 16) * 2
    within = grid.fit(groups)
    codes = grid.encode(groups, within)
    assert codes.dtype == torch.uint8
    assert int(codes.max()) < 2**grid.bits
    torch.testing.assert_close(decode(grid, codes, within), grid.round(groups, within), rtol=1e-5, atol=1e-7)


@settings(deadline=None, max_examples=100)
@given(st.one_of(integers, floats), st.integers(0, 10**6))
def test_values_on_the_grid_are_fixed_points(grid: Grid, seed: int) -> None:
    within = grid.fit(random(seed, 3, 16))
    codes = grid.levels().isfinite().nonzero().flatten()[None].expand(3, -1)
    values = decode(grid, codes, within)
    torch.testing.assert_close(grid.round(values, within), values, rtol=1e-5, atol=1e-7)


@settings(deadline=None, max_examples=60)
@given(grids)
def test_zeros_stay_zero_and_nothing_is_undefined(grid: Grid) -> None:
    for groups in (torch.zeros(2, 8), torch.full((2, 8), 1e-12), torch.full((2, 8), 0.3)):
        within = grid.fit(groups)
        assert bool(grid.round(groups, within).isfinite().all())
        assert float(within.scale.abs().min()) > 0
    if not isinstance(grid, Binary):
        assert float(grid.round(torch.zeros(2, 8), grid.fit(torch.zeros(2, 8))).abs().max()) == 0


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_integer_levels_are_evenly_spaced(bits: int, convention: str) -> None:
    for symmetric in (False, True):
        levels = Integers(bits=bits, symmetric=symmetric, convention=convention).levels()
        assert levels.tolist() == list(
            range(-(2 ** (bits - 1)) if symmetric else 0, len(levels) + int(levels[0]))
        )


def test_symmetric_scales_by_convention() -> None:
    group = torch.tensor([[-1.5, 3.0]])
    for convention, scale in (("compressed-tensors", 3 / 7.5), ("awq", 3 / 7), ("gguf", -3 / 8)):
        grid = Integers(bits=4, symmetric=True, convention=convention, scales="float32")  # type: ignore[arg-type]
        assert float(grid.fit(group).scale) == pytest.approx(scale)


def test_asymmetric_ranges_by_convention() -> None:
    group = torch.tensor([[0.5, 2.0]])
    wide = Integers(bits=4, scales="float32")
    torch.testing.assert_close(wide.fit(group).scale, torch.tensor([[2 / 15]]))
    awq = Integers(bits=4, convention="awq", scales="float32")
    within = awq.fit(group)
    torch.testing.assert_close(within.scale, torch.tensor([[0.1]]))
    assert float(within.zero) == 0  # clamped: the top of the range is out of reach
    torch.testing.assert_close(awq.round(group, within), torch.tensor([[0.5, 1.5]]))
    gguf = Integers(bits=4, convention="gguf", scales="float32")
    torch.testing.assert_close(gguf.round(group, gguf.fit(group)), group)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6), st.integers(2, 8))
def test_symmetric_error_is_at_most_half_a_step(seed: int, bits: int) -> None:
    groups = random(seed, 4, 32)
    grid = Integers(bits=bits, symmetric=True, convention="awq", scales="float32")
    within = grid.fit(groups)
    assert bool(((grid.round(groups, within) - groups).abs() <= within.scale / 2 + 1e-6).all())


@pytest.mark.parametrize(("name", "dtype"), [("e4m3", torch.float8_e4m3fn), ("e5m2", torch.float8_e5m2)])
def test_fp8_is_what_torch_casts_to(name: str, dtype: torch.dtype) -> None:
    grid = Floats.named(name)
    every = torch.arange(256, dtype=torch.uint8).view(dtype).float()
    torch.testing.assert_close(grid.levels(), every, rtol=0, atol=0, equal_nan=True)
    x = torch.cat([random(0, 4000) * grid.largest / 5, random(1, 4000), random(2, 4000) * 1e-3])
    x = torch.cat([x, (every[:-1] + every[1:]).nan_to_num(0, 0, 0) / 2]).clamp(-grid.largest, grid.largest)
    one = Range(torch.tensor(1.0))
    assert torch.equal(grid.round(x, one), x.to(dtype).float())
    ours = grid.encode(x, one)
    theirs = x.to(dtype).view(torch.uint8)
    assert torch.equal(ours[x.to(dtype).float() != 0], theirs[x.to(dtype).float() != 0])


def test_fnuz_is_no_specials_and_another_bias() -> None:
    grid = Floats(exponent=4, mantissa=3, bias=8.0)
    assert grid.largest == 240.0
    x = random(0, 1000) * 50
    assert torch.equal(
        grid.round(x, Range(torch.tensor(1.0))), x.clamp(-240, 240).to(torch.float8_e4m3fnuz).float()
    )


def test_e2m1_ties_go_to_the_even_mantissa() -> None:
    ties = {0.25: 0, 0.75: 1, 1.25: 1, 1.75: 2, 2.5: 2, 3.5: 4, 5.0: 4}
    grid, one = Floats.named("e2m1"), Range(torch.tensor(1.0))
    assert grid.round(torch.tensor(list(ties)), one).tolist() == list(ties.values())
    assert grid.levels().tolist() == [0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6]


def test_one_exponent_bit_is_a_uniform_grid() -> None:
    small, even = (
        Floats.named("e1m2", scales="float32"),
        Integers(bits=4, symmetric=True, convention="awq", scales="float32"),
    )
    groups = random(3, 20, 64)
    torch.testing.assert_close(small.round(groups, small.fit(groups)), even.round(groups, even.fit(groups)))


@settings(deadline=None, max_examples=50)
@given(st.floats(-3, 9), st.integers(0, 10**6))
def test_a_real_bias_is_a_scale(bias: float, seed: int) -> None:
    """Liu et al. absorb the scale into the bias: both give the same values."""
    x = random(seed, 200)
    biased = Floats(exponent=2, mantissa=1, bias=bias).round(x, Range(torch.tensor(1.0)))
    scaled = Floats(exponent=2, mantissa=1).round(x, Range(torch.tensor(2.0 ** (1 - bias))))
    torch.testing.assert_close(biased, scaled, rtol=1e-5, atol=1e-6)


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 10**6))
def test_powers_of_two(seed: int) -> None:
    scale = random(seed, 4, 6).abs() + 1e-3
    ratio = power_of_two(scale) / scale
    assert bool(((ratio >= 1) & (ratio < 2)).all())
    ratios = power_of_two_ratios(scale)
    logs = (ratios / ratios[:, :1]).log2()
    assert torch.equal(logs, logs.round())
    assert torch.equal(ratios.amax(1), scale.amax(1))
    assert bool((ratios <= scale).all()) and bool(
        (power_of_two_ratios(scale, rounding="floor") >= scale).all()
    )
    exact = torch.ones(9).ldexp(torch.arange(-4, 5))
    for rounding in ("ceil", "floor", "nearest"):
        assert torch.equal(power_of_two(exact, rounding), exact)
        assert torch.equal(power_of_two_ratios(exact, rounding=rounding), exact)


def test_binary_loses_least_of_all_scales() -> None:
    group = random(0, 1, 100) + 0.3
    for grid in (Binary(scales="float32"), Binary(centred=True, scales="float32")):
        within = grid.fit(group)
        best = (grid.round(group, within) - group).square().sum()
        for factor in (0.9, 1.1):
            other = within._replace(scale=within.scale * factor, zero=within.zero and within.zero / factor)
            assert best < (grid.round(group, other) - group).square().sum()


@settings(deadline=None, max_examples=50)
@given(
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(1, 5),
    st.sampled_from(["group", "channel", "token", "tensor"]),
)
def test_granularity_splits_and_joins(rows: int, groups: int, size: int, by: str) -> None:
    x = random(0, rows, groups * size)
    parts = split(x, size if by == "group" else by)  # type: ignore[arg-type]
    assert torch.equal(joined(parts, x.shape), x)
    peaks = spread(parts.abs().amax(-1), x.shape)
    assert bool((x.abs() <= peaks).all())
    expected = {"group": rows * groups, "channel": rows, "token": rows, "tensor": 1}[by]
    assert parts.shape[:2].numel() == expected


def test_bad_grids_are_refused() -> None:
    for field, make in (
        ("bits", lambda: Integers(bits=9)),
        ("convention", lambda: Integers(convention="mine")),  # type: ignore[arg-type]
        ("exponent", lambda: Floats(exponent=5, mantissa=4)),
        ("exponent", lambda: Floats(exponent=1, mantissa=0)),
        ("specials", lambda: Floats(exponent=1, mantissa=2, specials="ieee")),
        ("numbers", lambda: Floats.named("fp8")),
    ):
        with pytest.raises(InputError) as error:
            make()
        assert error.value.field == field


@pytest.mark.parametrize("size", [1e-6, 1.0, 300.0])
def test_float8_scales_reach_the_whole_of_a_weight(size: float) -> None:
    weight = size * torch.randn(8, 64, generator=torch.Generator().manual_seed(0))
    grid = Floats.named("e2m1", scales="float8").over(weight)
    groups = split(weight, 16)
    scale = grid.fit(groups).scale
    assert torch.equal(scale, scale.to(torch.float8_e4m3fn).float())
    assert 200 <= float(scale.max()) <= 448
    assert torch.equal(grid.over(weight).fit(groups).scale, scale)
    exact = Floats.named("e2m1", scales="float32")
    lost, least = (float((g.round(groups, g.fit(groups)) - groups).norm()) for g in (grid, exact))
    assert lost < 1.1 * least


def test_float8_scales_are_for_floating_point_numbers() -> None:
    with pytest.raises(InputError, match="scales: float8 is for floating-point numbers"):
        Rtn(scales="float8")
    assert (
        Floats.named("e2m1", scales="float8").over(torch.zeros(2, 2)).bias == 12.0
    )  # 6 is the largest, 448 the largest scale
