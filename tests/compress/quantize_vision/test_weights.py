"""Grids of weights: the identities of StatsQ, LSQ against autograd, what is stored."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from etude.compress.quantize_vision.weights import Frozen, Latent, LearnedSteps, Product, StatsQ, freeze


@pytest.fixture
def weight() -> Tensor:
    return torch.randn(6, 40, generator=torch.Generator().manual_seed(0))


def statsq(row: Tensor, bits: int) -> Tensor:
    """StatsQ of one row, put down plainly."""
    scale, n = 2 * row.abs().mean(), 2 ** (bits - 1)
    clamped = (row / scale).clamp(-1, 1 - 1e-6)
    return scale * ((clamped * n - 0.5).round() + 0.5) / n


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_statsq_is_what_the_paper_says(weight: Tensor, bits: int) -> None:
    expected = torch.stack([statsq(row, bits) for row in weight])
    inside = expected.abs() <= 2 * weight.abs().mean(1, keepdim=True)  # half-even below the lowest level
    assert torch.allclose(StatsQ(bits)(weight)[inside], expected[inside], atol=1e-6)


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_statsq_has_symmetric_levels_and_no_zero(weight: Tensor, bits: int) -> None:
    rounded = StatsQ(bits)(weight)
    scale = 2 * weight.abs().mean(1, keepdim=True)
    levels = (torch.arange(2**bits) + 0.5) / 2 ** (bits - 1) - 1
    for row in rounded / scale:
        assert (row[:, None] - levels).abs().amin(1).max() < 1e-6
    assert not (rounded == 0).any()


def test_statsq_scales_with_the_weight_and_is_not_idempotent(weight: Tensor) -> None:
    once = StatsQ(2)(weight)
    assert torch.allclose(StatsQ(2)(3 * weight), 3 * once)
    assert not torch.allclose(StatsQ(2)(once), once)


def test_statsq_clips_a_ninth_of_a_gaussian_whatever_the_bits() -> None:
    row = torch.randn(1, 100_000, generator=torch.Generator().manual_seed(0))
    error = (StatsQ(8)(row) - row).abs()
    assert error[row.abs() <= 2 * row.abs().mean()].max() < 0.01
    assert float((error > 0.01).float().mean()) == pytest.approx(0.11, abs=0.01)


def test_statsq_passes_gradients_straight_through_where_it_clips_too(weight: Tensor) -> None:
    weight.requires_grad_()
    slope = torch.randn(weight.shape)
    (StatsQ(2)(weight) * slope).sum().backward()
    assert torch.equal(weight.grad, slope)


def test_distance_is_that_to_the_nearest_threshold() -> None:
    grid = StatsQ(2)
    row = torch.tensor([[-1.0, 1.0, 0.01, 0.26, 0.51, 1.0]])
    scale = float(grid.scale(row))
    thresholds = torch.tensor([-0.5, 0.0, 0.5]) * scale
    steps = (row.clamp(-scale, scale)[0][:, None] - thresholds).abs().amin(1) / (scale / 2)
    assert torch.allclose(grid.distance(row)[0], steps, atol=1e-5)


@pytest.mark.parametrize("bits", [2, 4])
def test_lsq_gradients_are_those_of_autograd_through_its_parts(weight: Tensor, bits: int) -> None:
    grid, slope = LearnedSteps(bits, weight), torch.randn(weight.shape)
    weight.requires_grad_()
    (grid(weight) * slope).sum().backward()
    found = weight.grad.clone(), grid.step.grad.clone()

    weight.grad, step = None, grid.step.detach().clone().requires_grad_()
    factor = (grid.high * weight.shape[1]) ** -0.5
    scaled = (step - step * factor).detach() + step * factor
    levels = (weight / scaled).clamp(grid.low, grid.high)
    (((levels.round() - levels).detach() + levels) * scaled * slope).sum().backward()
    assert torch.allclose(found[0], weight.grad, atol=1e-6)
    assert torch.allclose(found[1], step.grad, atol=1e-5)


def test_product_is_the_heads_products_on_top_of_one_another() -> None:
    queries, keys = torch.randn(2, 8, 6).unbind()
    expected = torch.cat([queries[:4].T @ keys[:4], queries[4:].T @ keys[4:]])
    assert torch.allclose(Product(queries, keys, 2, lambda _: StatsQ(2)).value(), expected, atol=1e-6)


@pytest.mark.parametrize("bits", [2, 3, 5, 8])
def test_what_is_stored_is_what_the_layer_computed_with(weight: Tensor, bits: int) -> None:
    for grid in (StatsQ(bits), LearnedSteps(bits, weight)):
        latent = Latent(weight, grid)
        frozen = Frozen.of(latent)
        assert torch.allclose(frozen(), latent(), atol=1e-6)
        assert frozen.stored_bits() == 6 * (40 * bits + 64)
        holder = torch.nn.ModuleDict({"weight": latent})
        freeze(holder)
        assert isinstance(holder["weight"], Frozen)
