from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etude.engine.figures import figure, interval, t_probability, t_quantile

reals = st.floats(-1e6, 1e6)


@given(st.lists(reals, min_size=2, max_size=20))
def test_mean_and_spread_are_those_of_the_sample(values: list[float]) -> None:
    found = figure(values)
    assert found.n == len(values)
    assert found.mean == pytest.approx(statistics.fmean(values), abs=1e-9)
    assert found.std == pytest.approx(statistics.stdev(values), abs=1e-9)


def test_one_value_has_no_spread_and_infinity_has_a_mean() -> None:
    assert math.isnan(figure([3.0]).std)
    assert figure([1.0, math.inf]).mean == math.inf
    assert math.isnan(figure([1.0, math.inf]).std)


@pytest.mark.parametrize(
    ("p", "df", "t"),
    # from the table in every textbook
    [(0.975, 1, 12.706), (0.975, 2, 4.303), (0.975, 3, 3.182), (0.975, 4, 2.776), (0.975, 9, 2.262),
     (0.975, 30, 2.042), (0.975, 120, 1.980), (0.95, 5, 2.015), (0.995, 10, 3.169)],
)  # fmt: skip
def test_quantiles_are_those_of_the_table(p: float, df: int, t: float) -> None:
    assert t_quantile(p, df) == pytest.approx(t, abs=5e-4)


@given(st.integers(1, 40), st.floats(0.01, 8))
def test_the_probability_is_the_integral_of_the_density(df: int, t: float) -> None:
    scale = math.exp(math.lgamma((df + 1) / 2) - math.lgamma(df / 2)) / math.sqrt(df * math.pi)
    steps = 400
    x = [i * t / steps for i in range(steps + 1)]
    y = [scale * (1 + v * v / df) ** (-(df + 1) / 2) for v in x]
    simpson = t / steps / 3 * (y[0] + y[-1] + 4 * sum(y[1:-1:2]) + 2 * sum(y[2:-1:2]))
    assert t_probability(t, df) == pytest.approx(0.5 + simpson, abs=1e-6)


def test_the_interval_by_hand() -> None:
    # mean 0.2, standard deviation 0.1, standard error 0.1 / sqrt(3), times t = 4.30265
    low, high = interval([0.1, 0.2, 0.3])
    assert (low, high) == (pytest.approx(0.2 - 0.248414, abs=1e-5), pytest.approx(0.2 + 0.248414, abs=1e-5))


def test_differences_that_are_all_the_same_leave_no_doubt() -> None:
    assert interval([0.5, 0.5, 0.5]) == (0.5, 0.5)


def test_one_difference_has_no_interval() -> None:
    with pytest.raises(ValueError, match="two"):
        interval([1.0])
