"""Rounding to one bit: values, and gradients as the papers define them."""

from __future__ import annotations

import math

import pytest
import torch

from etude.compress.binarize.signs import FLOOR, attended, binary_rows, binary_weight, signed, signs, unsigned


def test_zero_is_up() -> None:
    assert signs(torch.tensor([-0.0, 0.0, -1e-9])).tolist() == [1, 1, -1]


def test_a_weight_has_two_values_of_the_mean_magnitude() -> None:
    weight = torch.randn(16, 24, generator=torch.Generator().manual_seed(0)) + 0.3
    binary = binary_weight(weight)
    scale = weight.abs().mean()  # of the weight as it is, not of the centred one
    assert sorted(binary.unique().tolist()) == pytest.approx([-scale.item(), scale.item()])
    assert torch.equal(binary > 0, weight >= weight.mean())


def test_the_mean_magnitude_is_the_best_scale_of_a_centred_weight() -> None:
    weight = torch.randn(16, 24, generator=torch.Generator().manual_seed(0)).double()
    weight -= weight.mean()
    scale = weight.abs().mean()
    error = [(weight - factor * scale * signs(weight)).square().sum() for factor in (0.99, 1.0, 1.01)]
    assert error[1] < min(error[0], error[2])


def test_rows_have_scales_of_their_own_and_a_common_centre() -> None:
    rows = torch.tensor([[1.0, 3.0], [-2.0, -6.0]])
    assert binary_rows(rows, torch.tensor(2.0)).tolist() == [[-2, 2], [-4, -4]]


def test_gradients_of_weights_pass_straight_through() -> None:
    weight = torch.randn(3, 4, requires_grad=True)
    slope = torch.randn(3, 4)
    (binary_weight(weight) * slope).sum().backward()
    assert torch.equal(weight.grad, slope)


def test_gradients_of_signed_activations() -> None:
    x = torch.tensor([-2.0, -0.4, 0.0, 0.3, 0.9], requires_grad=True)
    scale = torch.tensor(0.5, requires_grad=True)
    slope = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
    (signed(x, scale) * slope).sum().backward()
    assert x.grad.tolist() == [0, 2, 3, 4, 0]
    assert scale.grad.item() == pytest.approx((-1 - 2 + 3 + 4 + 5) / math.sqrt(5))


def test_gradients_of_unsigned_activations() -> None:
    p = torch.tensor([0.1, 0.4, 0.9], requires_grad=True)
    scale = torch.tensor(0.5, requires_grad=True)
    (unsigned(p, scale) * torch.tensor([1.0, 2.0, 4.0])).sum().backward()
    assert p.grad.tolist() == [1, 2, 0]
    inside = [(0 - 0.2) * 1, (1 - 0.8) * 2]
    assert scale.grad.item() == pytest.approx((sum(inside) + 4) / math.sqrt(3))


def test_a_scale_has_a_floor() -> None:
    assert signed(torch.tensor([1.0]), torch.tensor(-3.0)).item() == pytest.approx(FLOOR)


def test_attention_that_is_there_or_not() -> None:
    scores = torch.tensor([-torch.inf, -0.5, 0.0, 3.0], requires_grad=True)
    weights = attended(scores)
    weights.sum().backward()
    assert weights.tolist() == [0, 0, 1, 1]
    assert scores.grad.tolist() == [0, 1, 1, 0]
