"""Range searches against brute force."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from etude.compress.quantize.grids import Floats, Grid, Integers
from etude.compress.quantize.searches import least_error

GRIDS = [
    Integers(bits=3),
    Integers(bits=3, symmetric=True),
    Integers(bits=2, convention="gguf"),
    Floats.named("e2m1"),
]


def error(grid: Grid, groups: torch.Tensor, shrink: float, norm: float) -> torch.Tensor:
    return (grid.round(groups, grid.fit(groups, shrink)) - groups).abs().pow(norm).sum(-1)


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(GRIDS), st.integers(0, 10**6), st.sampled_from([2.0, 2.4]))
def test_finds_the_least_error_of_all_shrunk_ranges(grid: Grid, seed: int, norm: float) -> None:
    groups = torch.randn(6, 32, generator=torch.Generator().manual_seed(seed))
    found = least_error(grid, groups, norm=norm, steps=20)
    ours = (grid.round(groups, found) - groups).abs().pow(norm).sum(-1)
    every = torch.stack([error(grid, groups, 1 - step / 20, norm) for step in range(16)])
    torch.testing.assert_close(ours, every.amin(0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("grid", GRIDS)
def test_never_worse_than_the_extremes(grid: Grid) -> None:
    groups = torch.randn(50, 64, generator=torch.Generator().manual_seed(0))
    found = (grid.round(groups, least_error(grid, groups, norm=2.0)) - groups).square().sum(-1)
    assert bool((found <= error(grid, groups, 1.0, 2.0) + 1e-6).all())
