"""The factor of the inverse Hessian: what it is, and that it exists for degenerate inputs."""

from __future__ import annotations

import pytest
import torch

from etude.compress.hessian import inverse_factor


def gram(tokens: int, features: int) -> torch.Tensor:
    x = torch.randn(tokens, features, generator=torch.Generator().manual_seed(0))
    return x.T @ x


def test_is_the_factor_of_the_damped_inverse() -> None:
    hessian = gram(50, 8)
    factor = inverse_factor(hessian, 0.1)
    damped = hessian + 0.1 * hessian.diagonal().mean() * torch.eye(8)
    torch.testing.assert_close(factor.T @ factor, damped.inverse(), rtol=1e-4, atol=1e-6)
    assert torch.equal(factor, factor.triu())


def test_any_factor_of_the_hessian_cancels() -> None:
    hessian = gram(50, 8)
    one, other = inverse_factor(hessian, 0.01), inverse_factor(hessian * 100, 0.01)
    torch.testing.assert_close(
        one / one.diagonal()[:, None], other / other.diagonal()[:, None], rtol=1e-4, atol=1e-5
    )


def test_fewer_tokens_than_features_and_dead_features() -> None:
    hessian = gram(4, 64)
    hessian[:, 3] = hessian[3] = 0
    before = hessian.clone()
    factor = inverse_factor(hessian, 1e-9)  # not enough: raised until it is
    assert bool(factor.isfinite().all())
    assert float(factor[3].count_nonzero()) == 1
    assert torch.equal(hessian, before)


def test_what_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        inverse_factor(torch.full((2, 2), torch.nan), 0.01)
