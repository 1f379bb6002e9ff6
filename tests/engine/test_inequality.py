from __future__ import annotations

import math
from typing import Any

import pytest
from etude_toy import TASK, ToyMean, ToyMedian

from etude.engine.inequality import AllOf, AnyOf, Finding, Inequality, Study
from etude.engine.record import Record

STUDY = Study(name="small", task=TASK, inputs=TASK.inputs(), arms={"a": ToyMean(), "b": ToyMedian()})


def records(**arms: list[Any]) -> dict[str, dict[str, dict[int, Record]]]:
    """A record for each figure "x", or for each dictionary of figures; an error text makes a failed one."""

    def one(value: Any, seed: int) -> Record:
        facts: dict[str, Any] = {"key": "k", "task": "toy", "method": "m", "seed": seed}
        if isinstance(value, str):
            return Record(status="failed", error=f"Traceback\n{value}", **facts)
        return Record(status="done", metrics=value if isinstance(value, dict) else {"x": value}, **facts)

    return {"small": {arm: {i: one(v, i) for i, v in enumerate(values)} for arm, values in arms.items()}}


def judge(a: list[Any], b: list[Any], relation: Any = "<", **options: Any) -> Finding:
    return Inequality("x", "a", relation, "b", on=STUDY, **options).judge(records(a=a, b=b))


@pytest.mark.parametrize(
    ("b", "over", "status", "reason"),
    [
        ([2, 2, 2], "every seed", "satisfied", "holds in 3 of 3"),
        ([0, 0, 0], "every seed", "violated", "holds in 0 of 3"),
        ([2, 2, 0], "every seed", "undecided", "holds in 2 of 3"),
        ([2, 2, 0], 2, "satisfied", "holds in 2 of 3"),
        ([2, 0, 0], 2, "violated", "holds in 1 of 3"),
        ([2, 0, 0], 1, "satisfied", "holds in 1 of 3"),
        ([1, 1, 1], "every seed", "violated", "holds in 0 of 3"),
    ],
)
def test_counting_seeds(b: list[float], over: Any, status: str, reason: str) -> None:
    found = judge([1, 1, 1], b, over=over)
    assert (found.status, found.reason) == (status, reason)


@pytest.mark.parametrize(
    ("relation", "status"), [("<", "violated"), ("<=", "satisfied"), (">=", "satisfied")]
)
def test_equality_is_a_matter_of_the_relation(relation: Any, status: str) -> None:
    assert judge([1, 1, 1], [1, 1, 1], relation).status == status
    assert judge([1, 1, 1], [1, 1, 1], relation, over="mean").status == status


def test_the_mean_is_decided_by_the_paired_interval() -> None:
    # Apart by 0.1, 0.2, 0.3 whatever the seed adds to both: mean -0.2, half width 4.30265 * 0.1 / sqrt(3).
    found = judge([10.0, 200.0, 3000.0], [10.1, 200.2, 3000.3], over="mean")
    assert found.status == "undecided"
    assert found.reason == "the interval contains 0"
    assert found.mean == pytest.approx(-0.2)
    assert found.interval == (pytest.approx(-0.448414, abs=1e-5), pytest.approx(0.048414, abs=1e-5))
    assert judge([10.0, 200.0, 3000.0], [10.19, 200.2, 3000.21], over="mean").status == "satisfied"
    assert judge([10.19, 200.2, 3000.21], [10.0, 200.0, 3000.0], over="mean").status == "violated"
    assert judge([10.19, 200.2, 3000.21], [10.0, 200.0, 3000.0], ">", over="mean").status == "satisfied"


def test_one_seed_decides_no_mean() -> None:
    study = Study(name="small", task=TASK, inputs=None, arms=STUDY.arms, seeds=(0,))
    found = Inequality("x", "a", "<", "b", on=study, over="mean").judge(records(a=[1], b=[9]))
    assert (found.status, found.reason, found.missing) == ("undecided", "one seed gives no interval", False)
    assert all(map(math.isnan, found.interval))
    assert Inequality("x", "a", "<", "b", on=study).judge(records(a=[1], b=[9])).status == "satisfied"


def test_factors_margins_and_numbers_on_the_right() -> None:
    assert judge([1, 1, 1], [3, 3, 3], times=0.5).status == "satisfied"
    assert judge([1, 1, 1], [3, 3, 3], times=0.25).status == "violated"
    assert judge([1, 1, 1], [0.5, 0.5, 0.5], plus=0.6).differences == {
        0: pytest.approx(-0.1), 1: pytest.approx(-0.1), 2: pytest.approx(-0.1)
    }  # fmt: skip
    number = Inequality("x", "a", ">", 1.05, on=STUDY)
    assert number.judge(records(a=[1.1, 1.2, 1.3])).status == "satisfied"
    assert str(number) == "x(a) > 1.05 in all 3 seeds"


def test_logarithms_compare_ratios() -> None:
    found = judge([1.0, 10.0, 100.0], [2.0, 20.0, 200.0], over="mean", log=True)
    assert found.status == "satisfied"
    assert found.mean == pytest.approx(math.log(0.5))
    assert found.interval == (pytest.approx(math.log(0.5)), pytest.approx(math.log(0.5)))
    assert "no logarithm" in judge([0.0, 1.0, 1.0], [1.0, 1.0, 1.0], log=True).reason


def test_several_metrics_make_their_geometric_mean() -> None:
    pair = Inequality(("x", "y"), "a", "<=", "b", on=STUDY)
    found = pair.judge(records(a=[{"x": 4.0, "y": 9.0}] * 3, b=[{"x": 6.0, "y": 7.0}] * 3))
    assert found.differences[0] == pytest.approx(6 - math.sqrt(42))


@pytest.mark.parametrize("over", ["every seed", 1, 2, "mean"])
@pytest.mark.parametrize(
    ("b", "reason"),
    [
        ([2, "RuntimeError: boom", 2], "b, seed 1 failed: RuntimeError: boom"),
        ([2, 2], "b, seed 2: not run"),
        ([2, {"other": 1.0}, 2], "b, seed 1: no figure for x"),
        ([2, math.nan, 2], "b, seed 1: no figure for x"),
    ],
)
def test_what_is_missing_leaves_it_undecided_and_is_named(b: list[Any], reason: str, over: Any) -> None:
    found = judge([1, 1, 1], b, over=over)
    assert (found.status, found.reason, found.missing) == ("undecided", reason, True)


def test_infinity_can_be_counted_but_not_averaged() -> None:
    assert judge([1, 1, 1], [math.inf, 2, 2]).status == "satisfied"
    assert judge([1, 1, 1], [math.inf, 2, 2], over="mean").reason == "a figure is infinite"


def test_conditions_combine_in_three_values() -> None:
    yes, no = Inequality("x", "a", "<", 9.0, on=STUDY), Inequality("x", "a", ">", 9.0, on=STUDY)
    open_ = Inequality("x", "b", "<", 9.0, on=STUDY)
    runs = records(a=[1, 1, 1], b=[1, "RuntimeError: boom", 1])

    def status(condition: Any) -> str:
        return str(condition.judge(runs).status)

    for parts, every, some in [
        ((yes, yes), "satisfied", "satisfied"),
        ((yes, no), "violated", "satisfied"),
        ((no, no), "violated", "violated"),
        ((yes, open_), "undecided", "satisfied"),
        ((no, open_), "violated", "undecided"),
        ((open_, open_), "undecided", "undecided"),
    ]:
        assert (status(AllOf(*parts)), status(AnyOf(*parts))) == (every, some)
    found = AllOf(yes, AnyOf(no, open_)).judge(runs)
    assert (found.status, found.missing) == ("undecided", True)
    assert "b, seed 1 failed: RuntimeError: boom" in found.reason
    assert [part.status for part in found.parts[1].parts] == ["violated", "undecided"]
    assert not AnyOf(yes, open_).judge(runs).missing


def test_arms_that_do_not_exist_are_the_authors_mistake() -> None:
    with pytest.raises(ValueError, match="study 'small' has no arm 'c'; it has a, b"):
        Inequality("x", "a", "<", "c", on=STUDY)


def test_gaps_are_compared_above_a_third_arm() -> None:
    """``a - c <= 0.6 (b - c)``: of the gap that b leaves above c, a closes 40 %."""
    study = Study(
        name="small",
        task=TASK,
        inputs=TASK.inputs(),
        arms={"a": ToyMean(), "b": ToyMedian(), "c": ToyMean(share=0.2)},
    )
    closes = Inequality("x", "a", "<=", "b", on=study, above="c", times=0.6)
    results = records(a=[14, 17, 16], b=[20, 20, 20], c=[10, 10, 10])
    found = closes.judge(results)
    assert found.reason == "holds in 2 of 3"
    assert found.differences == {0: -2, 1: 1, 2: 0}
    with pytest.raises(ValueError, match="needs an arm"):
        Inequality("x", "a", "<", 1.0, on=study, above="c")
    with pytest.raises(ValueError, match="no arm 'd'"):
        Inequality("x", "a", "<", "b", on=study, above="d")
