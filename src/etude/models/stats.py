"""What can be measured of the activations that enter a linear layer, one chunk of tokens at a time.

Each class is fed chunks ``x`` of shape ``[tokens, features]`` by `update` and answers in float32.
Sums over a chunk are formed in float32, sums over chunks in float64 (in `Gram`, in the dtype asked
for), so that a statistic over millions of tokens loses nothing.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

_TILE = 256
"""Rows of a Gram matrix that are formed together."""


class Statistic(Protocol):
    """Anything that can be accumulated over chunks; `walk` makes one for each input it measures."""

    tokens: int
    segments: int

    def update(self, x: Tensor, segments: int) -> None:
        """Take in ``x``, ``[tokens, features]``, that came from ``segments`` sequences."""


class Norms:
    """Sums of squares: ``norm()[j]`` is the L2 norm of feature j over all tokens.

    Examples
    --------
    >>> norms = Norms(2)
    >>> norms.update(torch.tensor([[3.0, 0.0], [4.0, 2.0]]), segments=1)
    >>> norms.norm()
    tensor([5., 2.])
    """

    def __init__(self, features: int) -> None:
        self.tokens = 0
        self.segments = 0
        self._squares = torch.zeros(features, dtype=torch.float64)

    def update(self, x: Tensor, segments: int) -> None:
        self._squares += (x * x).sum(0)
        self.tokens += len(x)
        self.segments += segments

    def norm(self) -> Tensor:
        """``sqrt(sum_t x_tj^2)``, float32 ``[features]``."""
        return self._squares.sqrt().float()

    def segment_norm(self) -> Tensor:
        """The root of the mean over segments of ``sum_t x_tj^2``, float32 ``[features]``."""
        return (self._squares / self.segments).sqrt().float()


class Moments:
    """Mean and variance over tokens by Chan's update (Welford's, for chunks): no cancellation.

    Examples
    --------
    >>> moments = Moments(1)
    >>> for chunk in ([[1.0], [2.0]], [[6.0]]):
    ...     moments.update(torch.tensor(chunk), segments=1)
    >>> moments.mean(), moments.variance()
    (tensor([3.]), tensor([4.6667]))
    """

    def __init__(self, features: int) -> None:
        self.tokens = 0
        self.segments = 0
        self._mean = torch.zeros(features, dtype=torch.float64)
        self._deviations = torch.zeros(features, dtype=torch.float64)

    def update(self, x: Tensor, segments: int) -> None:
        self.segments += segments
        count = len(x)
        if count == 0:
            return
        rounded = x.mean(0)
        deviations = x - rounded
        rest = deviations.mean(0).double()  # what rounding the mean left out
        total = self.tokens + count
        shift = rounded.double() + rest - self._mean
        self._mean += shift * (count / total)
        self._deviations += deviations.square_().sum(0) - count * rest.square()
        self._deviations += shift.square() * (self.tokens * count / total)
        self.tokens = total

    def mean(self) -> Tensor:
        """Mean over tokens, float32 ``[features]``."""
        return self._mean.float()

    def variance(self, unbiased: bool = False) -> Tensor:
        """Variance over tokens, float32 ``[features]``; divides by ``tokens - 1`` if ``unbiased``."""
        return (self._deviations / max(1, self.tokens - int(unbiased))).float()

    def norm(self) -> Tensor:
        """``sqrt(sum_t x_tj^2)``, float32 ``[features]``."""
        return (self._deviations + self.tokens * self._mean.square()).sqrt().float()


class Extremes:
    """The smallest and the largest value of each feature.

    Examples
    --------
    >>> extremes = Extremes(2)
    >>> extremes.update(torch.tensor([[1.0, -2.0], [3.0, 0.5]]), segments=1)
    >>> extremes.low, extremes.high, extremes.peak()
    (tensor([ 1., -2.]), tensor([3.0000, 0.5000]), tensor([3., 2.]))
    """

    def __init__(self, features: int) -> None:
        self.tokens = 0
        self.segments = 0
        self.low = torch.full((features,), torch.inf)
        self.high = torch.full((features,), -torch.inf)

    def update(self, x: Tensor, segments: int) -> None:
        if len(x):
            self.low = torch.minimum(self.low, x.amin(0))
            self.high = torch.maximum(self.high, x.amax(0))
        self.tokens += len(x)
        self.segments += segments

    def peak(self) -> Tensor:
        """The largest magnitude of each feature, float32 ``[features]``."""
        return torch.maximum(-self.low, self.high)


class Gram:
    """The Gram matrix ``sum_t x_t x_t^T``, which second-order methods call the Hessian.

    Examples
    --------
    >>> gram = Gram(2)
    >>> gram.update(torch.tensor([[1.0, 2.0], [0.0, 1.0]]), segments=1)
    >>> gram.matrix()
    tensor([[1., 2.],
            [2., 5.]])
    """

    def __init__(self, features: int, dtype: torch.dtype = torch.float32) -> None:
        self.tokens = 0
        self.segments = 0
        self._sum = torch.zeros(features, features, dtype=dtype)

    def update(self, x: Tensor, segments: int) -> None:
        x = x.to(self._sum.dtype)
        for at in range(0, len(self._sum), _TILE):  # the matrix is symmetric: its upper tiles suffice
            # Added as a product: summed row by row into what is there, millions of tokens would lose digits.
            self._sum[at : at + _TILE, at:] += x[:, at : at + _TILE].T @ x[:, at:]
        self.tokens += len(x)
        self.segments += segments

    def matrix(self) -> Tensor:
        """``sum_t x_t x_t^T``, ``[features, features]``, in the dtype of accumulation."""
        for at in range(_TILE, len(self._sum), _TILE):
            self._sum[at:, at - _TILE : at] = self._sum[at - _TILE : at, at:].T
        return self._sum

    def norm(self) -> Tensor:
        """``sqrt(sum_t x_tj^2)``, float32 ``[features]``."""
        return self._sum.diagonal().sqrt().float()
