"""Statistics against float64 arithmetic over all rows at once."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from etude.models.stats import Gram, Moments, Norms

ALL = [Norms, Moments, Gram]


def rows(count: int, features: int, seed: int = 0, offset: float = 0.0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    sizes = torch.logspace(-2, 2, features)
    return torch.randn(count, features, generator=draw) * sizes + offset


def fed(kind: Any, x: Tensor, cuts: list[int], **options: Any) -> Any:
    """A statistic that took ``x`` in pieces; a cut twice at one place makes an empty piece."""
    statistic = kind(x.shape[1], **options)
    ends = [0, *sorted(cuts), len(x)]
    for start, end in pairwise(ends):
        statistic.update(x[start:end], segments=1)
    return statistic


chunkings = st.lists(st.integers(0, 200), max_size=6)


@settings(deadline=None)
@given(cuts=chunkings, seed=st.integers(0, 1000))
def test_norms(cuts: list[int], seed: int) -> None:
    x = rows(200, 5, seed)
    norms = fed(Norms, x, cuts)
    squares = np.square(x.double().numpy()).sum(0)
    np.testing.assert_allclose(norms.norm().numpy(), np.sqrt(squares), rtol=1e-6)
    np.testing.assert_allclose(norms.segment_norm().numpy(), np.sqrt(squares / (len(cuts) + 1)), rtol=1e-6)
    assert (norms.tokens, norms.segments) == (200, len(cuts) + 1)


@settings(deadline=None)
@given(cuts=chunkings, seed=st.integers(0, 1000), offset=st.sampled_from([0.0, 10.0, -1e4]))
def test_moments_survive_a_large_mean(cuts: list[int], seed: int, offset: float) -> None:
    x = rows(200, 5, seed, offset)
    moments = fed(Moments, x, cuts)
    exact = x.double().numpy()
    # A sum in float32 is exact to the size of what is summed, not to that of a mean that cancels.
    size = np.sqrt(np.square(exact).mean(0))
    np.testing.assert_allclose(moments.mean().numpy() / size, exact.mean(0) / size, rtol=0, atol=1e-6)
    np.testing.assert_allclose(moments.variance().numpy(), exact.var(0), rtol=1e-5)
    np.testing.assert_allclose(moments.norm().numpy(), np.sqrt(np.square(exact).sum(0)), rtol=1e-6)
    assert (moments.tokens, moments.segments) == (200, len(cuts) + 1)


@settings(deadline=None)
@given(cuts=chunkings, features=st.sampled_from([1, 5, 256, 257, 600]))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gram(cuts: list[int], features: int, dtype: torch.dtype) -> None:
    x = rows(200, features)
    gram = fed(Gram, x, cuts, dtype=dtype)
    exact = x.double().T @ x.double()
    scale = exact.diagonal().sqrt()
    error = (gram.matrix() - exact).abs() / torch.outer(scale, scale)
    assert gram.matrix().dtype == dtype
    assert float(error.max()) < (1e-6 if dtype == torch.float32 else 1e-13)
    np.testing.assert_allclose(gram.norm().numpy(), scale.numpy(), rtol=1e-6)


def test_a_gram_matrix_may_be_read_and_then_fed_on() -> None:
    x = rows(60, 600)
    gram = Gram(600, torch.float64)
    gram.update(x[:20], segments=1)
    gram.matrix()
    gram.update(x[20:], segments=1)
    torch.testing.assert_close(gram.matrix(), x.double().T @ x.double())


def test_the_unbiased_variance_divides_by_one_less() -> None:
    x = rows(7, 3)
    moments = fed(Moments, x, [2])
    torch.testing.assert_close(moments.variance(unbiased=True), x.var(0))
    torch.testing.assert_close(moments.variance(), x.var(0, correction=0))


@pytest.mark.parametrize("kind", ALL)
def test_millions_of_tokens_lose_nothing(kind: Any) -> None:
    statistic = kind(1)
    for _ in range(3000):
        statistic.update(torch.full((1000, 1), 0.1), segments=1)
    assert statistic.norm().item() == pytest.approx((3_000_000 * 0.1**2) ** 0.5, rel=1e-5)


@pytest.mark.parametrize("kind", ALL)
def test_inputs_are_left_alone(kind: Any) -> None:
    x = rows(20, 4)
    before = x.clone()
    fed(kind, x, [3, 7])
    assert torch.equal(x, before)
