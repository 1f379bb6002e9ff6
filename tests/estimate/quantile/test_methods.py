"""Ways to combine: what they are in the simple cases, and that learning finds what there is."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from sklearn.linear_model import QuantileRegressor

from etude.errors import InputError
from etude.estimate.quantile import BestModel, Dqa, Qra, QuantileAverage, load, save
from etude.estimate.quantile.designs import planted
from etude.estimate.quantile.scores import pinball_losses, weighted_interval_score
from etude.estimate.quantile.training import Settings, batch_size, grid
from etude.estimate.quantile.weights import Weights
from etude.seeds import seeded

LEVELS = np.array([0.1, 0.3, 0.5, 0.7, 0.9])


@pytest.mark.parametrize("resolution", ["coarse", "medium"])
def test_logits_of_zero_are_the_plain_average(resolution: Any) -> None:
    z, x = torch.randn(6, 3, 5), torch.zeros(6, 2)
    assert torch.allclose(Weights(3, 5, resolution)(z, x), z.mean(dim=1), atol=1e-6)


@pytest.mark.parametrize("local", [None, 2])
@pytest.mark.parametrize("resolution", ["coarse", "medium", "fine"])
def test_weights_are_convex_and_one_hot_ones_give_a_model(resolution: Any, local: int | None) -> None:
    z, x = torch.randn(6, 3, 5), torch.randn(6, 2)
    weights = Weights(3, 5, resolution, local)
    assert torch.allclose(weights.weights(x).sum(dim=1), torch.ones(1))
    if local is None:
        chosen = torch.zeros(weights.shape)
        for level in range(weights.shape[1]):
            chosen[5 + level if resolution == "fine" else 1, level] = 100
        weights.logits.data = chosen.flatten()
        assert torch.allclose(weights(z, x), z[:, 1], atol=1e-5)


def test_one_model_is_left_as_it_is_and_coarse_weights_keep_order() -> None:
    z, x = torch.randn(6, 3, 5).sort(dim=2).values, torch.randn(6, 2)
    assert torch.allclose(Weights(1, 5, "medium", 2)(z[:, :1], x), z[:, 0])
    assert (Weights(3, 5, "coarse", 2)(z, x).diff(dim=1) >= 0).all()


def test_average_median_best_and_stacking() -> None:
    X, y, z = planted(200, LEVELS, 0)
    z = np.concatenate([z, z[:, :1] + 5], axis=1)
    assert QuantileAverage().aggregate(z, y, X, LEVELS).predict(z, X) == pytest.approx(z.mean(axis=1))
    middle = QuantileAverage(centre="median").aggregate(z, y, X, LEVELS).predict(z, X)
    assert middle == pytest.approx(np.sort(np.median(z, axis=1), axis=1))
    losses = [pinball_losses(z[:, model], y, LEVELS).mean() for model in range(3)]
    assert BestModel().aggregate(z, y, X, LEVELS).models == [int(np.argmin(losses))]
    ours = Qra(repair="none").aggregate(z, y, X, LEVELS)
    theirs = QuantileRegressor(quantile=0.3, alpha=0, solver="highs").fit(z[:, :, 1], y).predict(z[:, :, 1])
    assert pinball_losses(ours.predict(z, X)[:, 1:2], y, LEVELS[1:2]).mean() == pytest.approx(
        pinball_losses(theirs[:, None], y, LEVELS[1:2]).mean(), rel=1e-6
    )
    full = Qra(full=True, l1=1e-3).aggregate(z, y, X, LEVELS)
    assert full.coef.shape == (15, 5)


@pytest.mark.parametrize("resolution", ["coarse", "medium"])
def test_global_weights_come_near_the_linear_program(resolution: Any) -> None:
    draw = np.random.default_rng(0)
    n, y = 400, draw.normal(size=400)
    z = np.stack([np.tile(shift + np.array([-1.3, 0.0, 1.3]), (n, 1)) for shift in (-0.5, 0.6, 2.0)], axis=1)
    levels, X = np.array([0.1, 0.5, 0.9]), draw.normal(size=(n, 1))
    method = Dqa(resolution=resolution, local=False, margin="none", searches=2, max_steps=6000)
    with seeded(0):
        ours = method.aggregate(z, y, X, levels)
    reached = pinball_losses(ours.predict(z, X), y, levels).mean()
    assert reached <= 1.01 * _program(z, y, levels, shared=resolution == "coarse") + 1e-9


def _program(z: np.ndarray, y: np.ndarray, levels: np.ndarray, *, shared: bool) -> float:
    """The least mean pinball loss of convex weights, by linear programming."""
    n, p, m = z.shape
    groups = [list(range(m))] if shared else [[level] for level in range(m)]
    total = 0.0
    for group in groups:
        rows = np.concatenate([z[:, :, level] for level in group])
        k = len(rows)
        tau = np.repeat(levels[group], n)
        equal = np.vstack(
            [
                np.hstack([rows, np.eye(k), -np.eye(k)]),
                np.hstack([np.ones((1, p)), np.zeros((1, 2 * k))]),
            ]
        )
        cost = np.concatenate([np.zeros(p), tau, 1 - tau])
        found = linprog(cost, A_eq=equal, b_eq=np.append(np.tile(y, len(group)), 1.0), bounds=(0, None))
        total += found.fun
    return total / (n * m)


def test_local_weights_find_who_is_right_where() -> None:
    X, y, z = planted(800, LEVELS, 0)
    fresh_X, fresh_y, fresh_z = planted(800, LEVELS, 1)
    budget: dict[str, Any] = {"resolution": "medium", "searches": 1, "max_steps": 1500}
    with seeded(0):
        local = Dqa(**budget).aggregate(z, y, X, LEVELS)
        fixed = Dqa(**budget, local=False).aggregate(z, y, X, LEVELS)
    score = [
        weighted_interval_score(combined.predict(fresh_z, fresh_X), fresh_y, LEVELS)
        for combined in (local, fixed)
    ]
    assert score[0] < 0.85 * score[1]
    left, right = local.weights(np.array([[-0.8, 0.0, 0.0], [0.8, 0.0, 0.0]]))[:, 0, 2]
    assert left > 0.7 and right < 0.3


@pytest.mark.parametrize("settings", [{"through": True, "repair": r} for r in ("sort", "pava", "sweep")])
def test_repairs_inside_the_loss_train(settings: dict[str, Any]) -> None:
    X, y, z = planted(120, LEVELS, 0)
    found = Dqa(searches=1, max_steps=100, margin="fixed", **settings).aggregate(z, y, X, LEVELS)
    assert (np.diff(found.predict(z, X), axis=1) >= 0).all()


def test_the_grid_is_the_authors() -> None:
    with seeded(0):
        assert len(grid(local=True, margin="adaptive", searches=10_000)) == 2 * 5 * 5 * 2 * 2 * 3
        assert len(grid(local=False, margin="fixed", searches=10_000)) == 25
        assert set(grid(local=False, margin="none", searches=20)) == {Settings(lr=1e-3), Settings(lr=5e-4)}
        several = grid(local=True, margin="adaptive", searches=20)
    assert len(set(several)) == 20
    assert {chosen.lr for chosen in several} == {1e-3, 5e-4}
    assert [batch_size(n) for n in (99, 100, 9_999, 10_000)] == [16, 32, 64, 128]


@pytest.mark.parametrize("method", [QuantileAverage(), Qra(), Dqa(searches=1, max_steps=100)])
def test_saved_and_loaded_it_is_the_same(method: Any, tmp_path: Path) -> None:
    X, y, z = planted(100, LEVELS, 0)
    combined = method.aggregate(z, y, X, LEVELS)
    save(combined, tmp_path / "aggregator")
    assert load(tmp_path / "aggregator").predict(z, X) == pytest.approx(combined.predict(z, X))
    assert math.isfinite(combined.predict(z, X).sum())
    with pytest.raises(InputError, match="no aggregator"):
        load(tmp_path)
