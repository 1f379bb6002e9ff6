"""Figures over seeds: mean, spread, and the interval of a paired difference."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One metric of one setting over its seeds.

    Parameters
    ----------
    mean : average over the seeds.
    std : sample standard deviation (divisor n - 1); NaN for a single seed.
    n : number of seeds.
    """

    mean: float
    std: float
    n: int


def figure(values: Sequence[float]) -> Figure:
    """Mean and sample standard deviation.

    Examples
    --------
    >>> figure([1.0, 2.0, 3.0])
    Figure(mean=2.0, std=1.0, n=3)
    """
    mean = math.fsum(values) / len(values) if all(map(math.isfinite, values)) else sum(values) / len(values)
    finite = len(values) > 1 and math.isfinite(mean)
    return Figure(mean, statistics.stdev(values) if finite else math.nan, len(values))


def interval(differences: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """The t interval of the mean of paired differences.

    Half its width is ``t * std / sqrt(n)`` with Student's t on n - 1 degrees of freedom.

    Raises
    ------
    ValueError : for fewer than two differences, which have no spread.

    Examples
    --------
    >>> low, high = interval([1.0, 2.0, 3.0])
    >>> round(low, 3), round(high, 3)
    (-0.484, 4.484)
    """
    if len(differences) < 2:
        raise ValueError("an interval needs at least two differences")
    f = figure(differences)
    half = t_quantile((1 + confidence) / 2, f.n - 1) * f.std / math.sqrt(f.n)
    return f.mean - half, f.mean + half


def t_quantile(p: float, df: int) -> float:
    """The ``p`` quantile (0.5 < p < 1) of Student's t distribution with ``df`` degrees of freedom.

    Solves ``t_probability(t, df) = p`` by bisection.

    Examples
    --------
    >>> round(t_quantile(0.975, 2), 4)
    4.3027
    """
    low, high = 0.0, 1.0
    while t_probability(high, df) < p:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if t_probability(middle, df) < p else (low, middle)
    return (low + high) / 2


def t_probability(t: float, df: int) -> float:
    """P(T <= t) for t >= 0, by the finite sums for whole degrees of freedom.

    Examples
    --------
    >>> round(t_probability(1.0, 1), 4)
    0.75

    References
    ----------
    Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    angle = math.atan2(t, math.sqrt(df))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = df % 2
    term, total = (cosine, 0.0) if odd else (1.0, 0.0)
    for k in range(1 + odd, df, 2):
        total += term
        term *= cosine**2 * k / (k + 1)
    within = 2 / math.pi * (angle + sine * total) if odd else sine * total
    return 0.5 + within / 2
