"""Masks hold exactly as many marks as asked for, on the lowest scores, the leftmost first."""

from __future__ import annotations

from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.models import zoo
from torch import Tensor

from etude.compress.prune.masks import (
    check_pattern,
    check_rule,
    check_widths,
    lowest,
    lowest_share,
    n_of_m,
    removal_mask,
    remove,
)
from etude.errors import InputError
from etude.models.blocks import block_linears

few = st.sampled_from([0.0, 1.0, 2.0, 3.0])
"""Scores full of ties."""


def matrices(elements: Any = few, columns: int = 12) -> Any:
    shape = st.tuples(st.integers(1, 6), st.integers(1, columns))
    return hnp.arrays(np.float32, shape, elements=elements).map(torch.from_numpy)


floats = st.floats(0, 1e6, width=32)


def by_sorting(score: Tensor, count: int) -> Tensor:
    order = score.argsort(dim=1, stable=True)[:, :count]
    return torch.zeros_like(score, dtype=torch.bool).scatter_(1, order, True)


@given(matrices(few | floats), st.data())
def test_lowest_is_a_stable_sort(score: Tensor, data: Any) -> None:
    count = data.draw(st.integers(0, score.shape[1]))
    assert torch.equal(lowest(score, count), by_sorting(score, count))


def test_lowest_of_a_transposed_view() -> None:
    score = torch.rand(7, 5)
    assert torch.equal(lowest(score.T, 3), by_sorting(score.T.contiguous(), 3))


@given(matrices(few | floats), st.floats(0, 1, exclude_max=True))
def test_exact_counts_in_rows_and_matrices(score: Tensor, sparsity: float) -> None:
    rows, columns = score.shape
    assert (removal_mask(score, sparsity).sum(1) == int(columns * sparsity)).all()
    assert removal_mask(score, sparsity, within="matrix").sum() == int(rows * columns * sparsity)


@given(matrices(few | floats, columns=3), st.sampled_from([(1, 2), (2, 4), (4, 8), (1, 4), (3, 3), (1, 1)]))
def test_n_of_every_m_are_kept(score: Tensor, kept: tuple[int, int]) -> None:
    n, m = kept
    score = score.repeat(1, m)
    mask = removal_mask(score, 1 - n / m, f"{n}:{m}")
    groups = mask.view(len(score), -1, m)
    assert (groups.sum(2) == (m - n if n < m else 0)).all()
    scores = score.view(groups.shape)
    highest_removed = scores.masked_fill(~groups, -1).amax(2)
    lowest_kept = scores.masked_fill(groups, torch.inf).amin(2)
    assert (highest_removed <= lowest_kept).all()


@given(matrices(floats), st.floats(0.05, 0.95), st.integers(-20, 20))
def test_scaling_a_row_changes_nothing(score: Tensor, sparsity: float, exponent: int) -> None:
    scaled = score.clone()
    scaled[0] *= 2.0**exponent
    assert torch.equal(removal_mask(scaled, sparsity)[0], removal_mask(score, sparsity)[0])


@given(matrices(few | floats))
def test_nothing_is_removed_at_sparsity_zero(score: Tensor) -> None:
    for options in ({}, {"within": "matrix"}, {"rule": "cumulative"}, {"pattern": "2:4"}):
        assert not removal_mask(score, 0.0, **options).any()


def cumulative_by_hand(score: np.ndarray, sparsity: float) -> np.ndarray:
    """Wanda's variant, weight by weight, in float64."""

    def marked(alpha: float) -> np.ndarray:
        mask = np.zeros(score.shape, bool)
        for row, values in enumerate(score.astype(np.float64)):
            total = 0.0
            for column in np.argsort(values, kind="stable"):
                total += values[column]
                if total <= alpha * values[np.argsort(values, kind="stable")].cumsum()[-1]:
                    mask[row, column] = True
        return mask

    low, high, alpha = 0.0, 0.8, 0.4
    while abs(marked(alpha).mean() - sparsity) > 0.001 and high - low >= 0.001:
        if marked(alpha).mean() > sparsity:
            high = alpha
        else:
            low = alpha
        alpha = (low + high) / 2
    return marked(alpha)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.sampled_from([0.3, 0.5, 0.6]))
def test_the_cumulative_rule(seed: int, sparsity: float) -> None:
    score = torch.rand(6, 24, generator=torch.Generator().manual_seed(seed)) ** 2
    np.testing.assert_array_equal(
        lowest_share(score, sparsity).numpy(), cumulative_by_hand(score.numpy(), sparsity)
    )


@pytest.mark.parametrize("sparsity", [0.05, 0.5, 0.9, 0.99])
def test_the_cumulative_rule_meets_the_sparsity(sparsity: float) -> None:
    score = torch.randn(256, 512, generator=torch.Generator().manual_seed(0)).abs()
    mask = lowest_share(score, sparsity)
    assert float(mask.float().mean()) == pytest.approx(sparsity, abs=0.002)
    assert len(mask.sum(1).unique()) > 1


@pytest.mark.parametrize("pattern", ["unstructured", "2:4", "cumulative"])
def test_scores_that_are_not_finite_are_refused(pattern: str) -> None:
    settings = {"rule": pattern} if pattern == "cumulative" else {"pattern": pattern}
    for bad in (torch.nan, torch.inf):
        score = torch.ones(2, 4)
        score[1, 2] = bad
        with pytest.raises(InputError, match=r"model: .* not finite"):
            removal_mask(score, 0.5, **settings)


@pytest.mark.parametrize("pattern", ["", "half", "2:", "0:4", "5:4", "2:4:8", "-1:4", "2.0:4"])
def test_malformed_patterns(pattern: str) -> None:
    with pytest.raises(InputError, match="pattern: "):
        n_of_m(pattern)


def test_a_pattern_and_a_sparsity_that_disagree() -> None:
    check_pattern(0.75, "1:4")
    check_pattern(0.0, "1:4")
    check_pattern(1 / 3, "2:3")
    with pytest.raises(InputError, match=r"sparsity: pattern 1:4 removes 0\.75 of the weights, not 0\.5"):
        check_pattern(0.5, "1:4")


def test_widths_that_a_pattern_does_not_divide() -> None:
    linears = block_linears(zoo.llama())
    check_widths(linears, "unstructured")
    check_widths(linears, "4:8")
    with pytest.raises(InputError, match=r"pattern: 3:5: model.layers.0.self_attn.q_proj has 32 inputs"):
        check_widths(linears, "3:5")


def test_the_cumulative_rule_is_for_rows_only() -> None:
    check_rule("cumulative", "unstructured")
    check_rule("count", "2:4", "matrix")
    for pattern, within in (("2:4", "row"), ("unstructured", "matrix")):
        with pytest.raises(InputError, match="rule: "):
            check_rule("cumulative", pattern, within)  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [zoo.llama, zoo.gpt2])
def test_removing_sets_zeros_and_nothing_else(make: Any) -> None:
    model, before = make(), make()
    for linear, old in zip(block_linears(model), block_linears(before), strict=True):
        mask = torch.rand(linear.weight.shape) < 0.5
        remove(linear, mask)
        assert torch.equal(linear.weight, torch.where(mask, 0, old.weight))
