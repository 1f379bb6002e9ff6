"""Losses, scores and repairs: equalities with scikit-learn, theorems, gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import mean_pinball_loss

from etude.errors import InputError
from etude.estimate.quantile.isotonic import REPAIRS, pava, soft_sort, sort, sweep
from etude.estimate.quantile.losses import adaptive_margins, crossing, pinball
from etude.estimate.quantile.scores import check_levels, interval, pinball_losses, weighted_interval_score

LEVELS = np.arange(1, 10) / 10


def draws(rows: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    return draw.normal(size=(rows, len(LEVELS))), draw.normal(size=rows)


def test_pinball_is_that_of_scikit_learn() -> None:
    q, y = draws()
    theirs = [mean_pinball_loss(y, q[:, j], alpha=level) for j, level in enumerate(LEVELS)]
    assert pinball_losses(q, y, LEVELS).mean(axis=0) == pytest.approx(theirs, abs=1e-12)
    ours = pinball(torch.tensor(q), torch.tensor(y), torch.tensor(LEVELS)).item()
    assert ours == pytest.approx(np.mean(theirs), abs=1e-12)


def test_weighted_interval_score_is_the_sum_over_intervals() -> None:
    q, y = draws()
    q = np.sort(q, axis=1)
    total = np.abs(y - q[:, 4])  # the median, once
    for j in range(4):
        low, high, a = q[:, j], q[:, -1 - j], 2 * LEVELS[j]
        outside = np.maximum(low - y, 0) + np.maximum(y - high, 0)
        total = total + a * (high - low) + 2 * outside
    assert weighted_interval_score(q, y, LEVELS) == pytest.approx(total.mean())


def test_crossing_is_the_mean_over_pairs() -> None:
    q = torch.tensor([[0.0, 2.0, 1.0]])
    none = torch.zeros(3, 3)
    assert crossing(q, none).item() == pytest.approx(1 / 3)
    assert crossing(sort(q), none).item() == 0
    assert crossing(q, torch.full((3, 3), 0.5)).item() == pytest.approx((0 + 0 + 1.5) / 3)
    margins = adaptive_margins(torch.linspace(0, 1, 101), torch.tensor([0.1, 0.5, 0.9]), 0.1)
    assert margins[0, 2].item() == pytest.approx(0.08) and margins[2, 0] == 0


def test_pava_is_isotonic_regression_row_by_row() -> None:
    q, _ = draws()
    theirs = np.stack([IsotonicRegression().fit_transform(LEVELS, row) for row in q])
    assert pava(torch.tensor(q)).numpy() == pytest.approx(theirs, abs=1e-12)


def test_sorting_and_pava_never_cost_and_the_sweep_may() -> None:
    q, y = draws(3000)
    before = pinball_losses(q, y, LEVELS).sum(axis=1)
    for repair in (sort, pava):
        after = pinball_losses(repair(torch.tensor(q)).numpy(), y, LEVELS).sum(axis=1)
        assert (after <= before + 1e-12).all()
    after = pinball_losses(sweep(torch.tensor(q)).numpy(), y, LEVELS).sum(axis=1)
    assert (after > before + 1e-9).mean() > 0.1


@pytest.mark.parametrize("name", ["sort", "pava", "sweep"])
def test_repairs_order_rows_and_leave_ordered_ones(name: str) -> None:
    q = torch.tensor(draws()[0])
    repaired = REPAIRS[name](q)
    assert (repaired.diff(dim=1) >= 0).all()
    assert torch.allclose(REPAIRS[name](repaired), repaired)


@pytest.mark.parametrize("repair", [sort, pava, sweep, soft_sort])
def test_gradients_pass_through(repair: object) -> None:
    q = torch.tensor(draws(5)[0], requires_grad=True)
    assert torch.autograd.gradcheck(repair, (q,))  # type: ignore[arg-type]


def test_soft_sorting_is_sorting_in_one_limit_and_averaging_in_the_other() -> None:
    q = torch.tensor(draws(20)[0])
    assert torch.allclose(soft_sort(q, 1e-3), sort(q))
    assert torch.allclose(soft_sort(q, 1e6), q.mean(dim=1, keepdim=True).expand_as(q), atol=1e-4)


@pytest.mark.parametrize("levels", [[0.5, 0.1], [0.1, 0.1], [0.0, 0.5], [0.5, 1.0], [], [[0.5]]])
def test_levels_out_of_order_are_refused(levels: list[float]) -> None:
    with pytest.raises(InputError) as error:
        check_levels(np.array(levels))
    assert error.value.field == "levels"


def test_an_interval_needs_its_levels() -> None:
    q, _ = draws()
    low, high = interval(q, LEVELS, 0.8)
    assert (low == q[:, 0]).all() and (high == q[:, -1]).all()
    with pytest.raises(InputError, match=r"0\.05 and 0\.95"):
        interval(q, LEVELS, 0.9)
