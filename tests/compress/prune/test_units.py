"""Budgets in parameters, and the units that meet them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.models.zoo import llama
from torch import nn

from etude.compress.prune.units import Budget, adaptive, equal_counts, lowest_units, uniform_counts
from etude.errors import InputError
from etude.models.blocks import Linear, find_blocks
from etude.models.structure import Kind, Site, find_sites

WIDTH = 6


def site(units: int, per_unit: int = 1, kind: Kind = "mlp", least: int = 0) -> Site:
    """A site on its own: ``units`` runs of ``per_unit`` features between two layers of 6 features."""
    source = Linear("up", nn.Linear(WIDTH, units * per_unit, bias=False))
    output = Linear("down", nn.Linear(units * per_unit, WIDTH, bias=False))
    return Site(kind, 0, nn.Module(), (source,), output, units, least)


def budget(sites: list[Site], ratio: float, new_biases: bool = False) -> Budget:
    total = sum(one.cost * one.units for one in sites)
    return Budget(ratio * total, total, new_biases)


def blocks_of(model: Any) -> int:
    return sum(parameter.numel() for parameter in find_blocks(model)[1].parameters())


@settings(deadline=None)
@given(st.data())
def test_the_lowest_go_until_the_budget_is_met(data: Any) -> None:
    shapes = data.draw(st.lists(st.tuples(st.integers(1, 8), st.integers(1, 4)), min_size=1, max_size=4))
    sites = [site(units, per_unit) for units, per_unit in shapes]
    values = data.draw(st.permutations(range(sum(units for units, _ in shapes))))
    pieces = torch.tensor(values, dtype=torch.float32).split([units for units, _ in shapes])
    scores = dict(zip(sites, pieces, strict=True))
    biases, ratio = data.draw(st.booleans()), data.draw(st.floats(0, 1))
    goal = budget(sites, ratio, biases)
    removed = adaptive(scores, goal)

    gone = torch.cat([scores[one][removed[one]] for one in sites])
    left = torch.cat([scores[one][~removed[one]] for one in sites])
    assert not len(gone) or not len(left) or gone.max() < left.min()

    def total(units: dict[Site, torch.Tensor]) -> int:
        return sum(goal.gain(one, int(mask.sum())) for one, mask in units.items())

    reachable = [total({one: scores[one] < count for one in sites}) for count in range(len(values) + 1)]
    assert abs(total(dict(removed)) - goal.parameters) == min(abs(one - goal.parameters) for one in reachable)
    if goal.parameters <= reachable[-1]:
        assert abs(total(dict(removed)) - goal.parameters) <= max(one.cost for one in sites)


def test_ties_are_settled_by_position() -> None:
    one = site(5)
    assert adaptive({one: torch.zeros(5)}, budget([one], 0.4))[one].tolist() == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert lowest_units(torch.zeros(3), 2).tolist() == [True, True, False]


def test_what_must_stay_stays() -> None:
    low, high = site(4, least=2), site(4)
    scores = {low: torch.tensor([3.0, 1.0, 2.0, 0.0]), high: torch.tensor([9.0, 8.0, 7.0, 6.0])}
    removed = adaptive(scores, budget([low, high], 0.5))
    assert removed[low].tolist() == [False, True, False, True]
    assert removed[high].tolist() == [False, False, True, True]
    assert not adaptive(scores, budget([low, high], 0.5), lambda _: 4)[high].any()


def test_new_biases_are_paid_for() -> None:
    sites = [site(10), site(10)]
    scores = {one: torch.arange(10.0) for one in sites}
    free, paid = (adaptive(scores, budget(sites, 0.5, biases)) for biases in (False, True))
    assert sum(int(units.sum()) for units in free.values()) == 10
    assert sum(int(units.sum()) for units in paid.values()) == 11  # two biases of 6 are one unit of 12


@settings(deadline=None, max_examples=30)
@given(ratio=st.floats(0, 0.85), biases=st.booleans(), groups=st.sampled_from([1, 2, 4]))
def test_equal_counts_meet_the_budget(ratio: float, biases: bool, groups: int) -> None:
    sites = find_sites(llama(num_key_value_heads=groups))
    goal = Budget.of(llama(num_key_value_heads=groups), ratio, biases)
    try:
        lost = uniform_counts(sites, goal)
    except InputError as error:
        assert error.field == "ratio"
        most = sum(goal.gain(one, one.units - (one.kind == "attention")) for one in sites)
        assert most < goal.parameters
        return
    removed = sum(goal.gain(one, lost[one.kind]) for one in sites)
    assert abs(removed - goal.parameters) <= sum(one.cost for one in sites if one.kind == "mlp")


def test_heads_are_rounded_down_and_channels_make_up_the_rest() -> None:
    model = llama(num_key_value_heads=4, head_dim=16, hidden_size=48)
    sites = find_sites(model)
    assert uniform_counts(sites, Budget.of(model, 0.45))["attention"] == 1
    assert equal_counts(model, 0.45)[1]["attention"] == 1  # 3 heads divide 48
    model = llama(num_key_value_heads=4)
    assert uniform_counts(find_sites(model), Budget.of(model, 0.45))["attention"] == 1
    assert equal_counts(model, 0.45)[1]["attention"] == 2  # 3 heads do not divide 32
    assert equal_counts(model, 0.45, stock=False)[1]["attention"] == 1


def test_groups_by_hand() -> None:
    model = llama(num_key_value_heads=4)
    sites, goal = find_sites(model), Budget.of(model, 0.5)
    assert uniform_counts(sites, goal, groups=3)["attention"] == 3
    with pytest.raises(InputError, match=r"^groups: 4 a layer is too many: at most 3 "):
        uniform_counts(sites, Budget.of(model, 0.7), groups=4)
    with pytest.raises(InputError, match=r"^groups: .* more than ratio asks for"):
        uniform_counts(sites, Budget.of(model, 0.1), groups=2)
    with pytest.raises(InputError, match=r"^groups: 0 a layer is too few"):
        uniform_counts(sites, Budget.of(model, 0.7), groups=0)


def test_too_much_is_refused_with_what_is_possible() -> None:
    model = llama()
    with pytest.raises(InputError, match=r"^ratio: 0.95 is too high: at most 0\.\d+ can be removed"):
        uniform_counts(find_sites(model), Budget.of(model, 0.95))


def test_scores_that_are_not_finite_are_refused() -> None:
    one = site(3)
    with pytest.raises(InputError, match=r"^model: .* not finite"):
        adaptive({one: torch.tensor([0.0, torch.nan, 1.0])}, budget([one], 0.3))
    with pytest.raises(InputError, match=r"^model: .* not finite"):
        lowest_units(torch.tensor([0.0, torch.inf]), 1)
