"""Low-rank compensation: Eckart-Young, and what its factors cost."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from etude.compress.hessian import inverse_factor
from etude.compress.quantize import lowrank
from etude.compress.quantize.lowrank import compensate


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 24), st.integers(1, 24), st.integers(0, 30), st.integers(0, 10**6))
def test_leaves_what_the_smaller_singular_values_hold(rows: int, columns: int, rank: int, seed: int) -> None:
    error = random(rows, columns, seed=seed)
    left = (error - compensate(error, rank).product()).square().sum()
    rest = torch.linalg.svdvals(error)[rank:].square().sum()
    torch.testing.assert_close(left, rest, rtol=1e-2, atol=1e-4 * float(error.square().sum()))


@pytest.mark.parametrize("shape", [(12, 20), (20, 12)])
def test_factors_are_balanced(shape: tuple[int, int]) -> None:
    found = compensate(random(*shape), 5)
    strengths = torch.linalg.svdvals(random(*shape))[:5]
    torch.testing.assert_close(found.left.norm(dim=0).square(), strengths, rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(found.right.norm(dim=1).square(), strengths, rtol=1e-2, atol=1e-2)


def test_full_rank_gives_the_error_back_and_rank_0_nothing() -> None:
    error = random(10, 16)
    torch.testing.assert_close(compensate(error, 10).product(), error, rtol=1e-2, atol=5e-3)
    assert compensate(error, 0).product().count_nonzero() == 0


def test_no_error_gives_zero_factors() -> None:
    found = compensate(torch.zeros(6, 8), 3)
    assert found.left.count_nonzero() == found.right.count_nonzero() == 0


def test_error_never_rises_with_rank() -> None:
    error = random(32, 48)
    left = [float((error - compensate(error, rank).product()).norm()) for rank in range(0, 33, 4)]
    assert left == sorted(left, reverse=True)


def test_8_bit_factors_keep_nearly_all_of_the_gain() -> None:
    error = random(64, 8) @ random(8, 96, seed=1) + 0.1 * random(64, 96, seed=2)
    coarse, fine = compensate(error, 8, "int8"), compensate(error, 8)
    assert float((error - coarse.product()).norm()) < float(error.norm()) * 0.1
    assert float((error - fine.product()).norm()) < float((error - coarse.product()).norm())
    assert coarse.stored_bits() == 8 * 8 * (64 + 96) + 16 * (64 + 8)
    assert fine.stored_bits() == 16 * 8 * (64 + 96)


def second_moments(features: int) -> tuple[Tensor, Tensor]:
    """Inputs that go together, and ``R^-1`` of their Gram matrix."""
    x = random(400, features, seed=3) @ random(features, features, seed=4)
    return x, inverse_factor(x.T @ x, damping=1e-6)


@pytest.mark.parametrize("shape", [(12, 20), (20, 12)])
@pytest.mark.parametrize("rank", [1, 4, 8])
def test_the_least_error_of_outputs(shape: tuple[int, int], rank: int) -> None:
    """Of ``X E^T`` what is left is its smaller singular values: no other product of the rank leaves less."""
    error = random(*shape)
    x, inputs = second_moments(shape[1])
    outputs = x @ error.T
    left = (outputs - x @ compensate(error, rank, inputs=inputs).product().T).square().sum()
    rest = torch.linalg.svdvals(outputs)[rank:].square().sum()
    torch.testing.assert_close(left, rest, rtol=2e-2, atol=1e-5 * float(outputs.square().sum()))
    assert left < (outputs - x @ compensate(error, rank).product().T).square().sum()


def test_inputs_that_do_not_go_together_change_nothing() -> None:
    error = random(10, 16)
    white = inverse_factor(7 * torch.eye(16), damping=1e-6)
    plain, aware = (compensate(error, 4, inputs=inputs).product() for inputs in (None, white))
    torch.testing.assert_close(aware, plain, rtol=1e-2, atol=2e-3)


@pytest.mark.parametrize("factors", ["float16", "int8"])
def test_factors_for_outputs_are_balanced_and_full_rank_is_exact(factors: Any) -> None:
    error, (_, inputs) = random(12, 16), second_moments(16)
    found = compensate(error, 12, factors, inputs=inputs)
    torch.testing.assert_close(found.left.norm(dim=0), found.right.norm(dim=1), rtol=2e-2, atol=0)
    error_left = float((found.product() - error).norm() / error.norm())
    assert error_left < (2e-3 if factors == "float16" else 0.1)
    nothing = compensate(torch.zeros(12, 16), 3, inputs=inputs)
    assert nothing.product().count_nonzero() == 0 and bool(nothing.left.isfinite().all())


def test_large_matrices_by_subspace_iteration(monkeypatch: pytest.MonkeyPatch) -> None:
    error = random(64, 8) @ random(8, 96, seed=1) + 0.1 * random(64, 96, seed=2)
    exact = (error - compensate(error, 8).product()).norm()
    monkeypatch.setattr(lowrank, "EXACT_UP_TO", 0)
    torch.testing.assert_close((error - compensate(error, 8).product()).norm(), exact, rtol=1e-2, atol=0)


def test_a_white_error_has_no_strong_direction() -> None:
    white = random(128, 128)
    column = white.clone()
    column[:, 3] *= 20
    shares = [float(compensate(e, 1).product().square().sum() / e.square().sum()) for e in (white, column)]
    assert shares[0] < 0.05 < 0.5 < shares[1]
