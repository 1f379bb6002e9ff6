"""The accuracy predictor and the genetic search."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from etude.compress.quantize_vision.elastic import KINDS
from etude.compress.quantize_vision.genetic import Budget, Conditional, search
from etude.compress.quantize_vision.predictor import Lists, features, kendall, learn

LAYERS = 8


@pytest.fixture
def sizes() -> np.ndarray:
    return np.random.default_rng(0).integers(1, 9, (2, LAYERS)).astype(float)


def test_features_have_a_place_for_everything() -> None:
    lists = np.random.default_rng(0).integers(2, 9, (8, 2, LAYERS))
    x = features(lists, list(KINDS))
    assert x.shape == (8, 6 + 14 * LAYERS)
    assert (x[:, :6].view(8, 3, 2).sum(-1) == 1).all()
    places = x[:, 6:].view(8, 2, LAYERS, 7)
    assert (places[:, :, 1:-1].argmax(-1).numpy() + 2 == lists[:, :, 1:-1]).all()
    assert places[:, :, [0, -1]].sum() == 0


def test_kendall_is_that_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    draw = torch.Generator().manual_seed(0)
    first, second = (torch.randint(6, (30,), generator=draw).float() for _ in range(2))
    assert kendall(first, second) == pytest.approx(stats.kendalltau(first, second).statistic, abs=1e-6)
    assert kendall(first, torch.ones(30)) == 0.0


def test_the_predictor_ranks_what_it_has_not_seen(sizes: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    lists = rng.integers(2, 9, (400, 2, LAYERS))
    accuracies = torch.from_numpy(Budget(sizes, (3.0, 3.0)).averages(lists).mean(1)).float() / 10
    x = features(lists, [KINDS[index] for index in rng.integers(8, size=400)])
    torch.manual_seed(0)
    learned = learn(x[:320], accuracies[:320])
    with torch.no_grad():
        assert kendall(learned(x[320:]), accuracies[320:]) > 0.6


@pytest.mark.parametrize("most", [(3.0, 3.0), (2.5, 6.0), (8.0, 4.0)])
def test_the_search_keeps_both_budgets_and_finds_what_is_best(
    sizes: np.ndarray, most: tuple[float, float]
) -> None:
    rng = np.random.default_rng(0)
    budget = Budget(sizes, most)
    seen: list[Lists] = []

    def worth(lists: Lists) -> np.ndarray:
        return lists[:, :, 1].sum(1).astype(float)  # bits of the second layer are all that counts

    def fitness(lists: Lists) -> np.ndarray:
        seen.append(lists)
        return worth(lists)

    found = search(fitness, budget, Conditional(sizes, rng, lists=20_000), rng, population=20, generations=60)
    assert all(budget.kept(lists).all() for lists in seen)
    assert worth(found[None])[0] == max(worth(lists).max() for lists in seen)
    assert worth(found[None])[0] > worth(seen[0]).mean()


def test_lists_are_drawn_around_the_wanted_average(sizes: np.ndarray) -> None:
    conditional = Conditional(sizes, np.random.default_rng(0), lists=50_000)
    drawn = conditional.draw(np.tile([4.0, 6.0], (500, 1)))
    averages = Budget(sizes, (8.0, 8.0)).averages(drawn).mean(0)
    assert averages == pytest.approx([4.0, 6.0], abs=0.25)
    assert drawn.min() >= 2 and drawn.max() <= 8


def test_what_misses_its_budget_is_nudged_into_it(sizes: np.ndarray) -> None:
    budget = Budget(sizes, (2.0, 7.9))
    nudged = budget.nudged(np.full((2, LAYERS), 5), np.random.default_rng(0))
    assert budget.kept(nudged[None]).all()
