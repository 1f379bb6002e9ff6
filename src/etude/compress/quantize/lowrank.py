"""Low-rank compensation: the error of a quantised weight, approximated by two thin matrices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from etude.compress.quantize.grids import Integers, split

Factors = Literal["float16", "int8"]
EXACT_UP_TO = 1024
"""Up to this many rows or columns the decomposition is exact; beyond, by subspace iteration."""


@dataclass(frozen=True)
class LowRank:
    """A product ``left @ right`` that is added to a quantised weight.

    Attributes
    ----------
    left : ``[out, rank]``, as it is after being stored.
    right : ``[rank, in]``, likewise.
    factors : how both are stored: "float16", or "int8" with a float16 scale for each row.
    """

    left: Tensor
    right: Tensor
    factors: Factors = "float16"

    @property
    def rank(self) -> int:
        """Columns of ``left``."""
        return self.right.shape[0]

    def product(self) -> Tensor:
        """``left @ right``, float32 ``[out, in]``."""
        return self.left @ self.right

    def stored_bits(self) -> int:
        """Bits that both factors take."""
        numbers, rows = self.left.numel() + self.right.numel(), len(self.left) + len(self.right)
        return numbers * 16 if self.factors == "float16" else numbers * 8 + rows * 16


def compensate(
    error: Tensor, rank: int, factors: Factors = "float16", *, inputs: Tensor | None = None
) -> LowRank:
    """The best approximation of a quantisation error by a product of rank ``rank``.

    ``E = U S V^T`` gives ``left = U_m S_m^(1/2)`` and ``right = S_m^(1/2) V_m^T``: the balanced split
    lets both factors be stored in 8 bits. What is left is least over the weights or, if it is known how
    inputs go together, over outputs: with ``R R^T`` the inputs' second moments ``E R`` is decomposed, and
    ``R^-1`` put behind ``V_m^T`` (not in the paper).

    Parameters
    ----------
    error : the weight minus its quantised form, ``[out, in]``.
    rank : at most ``min(out, in)``; more is the same as that.
    factors : how the factors are stored; they are rounded accordingly.
    inputs : ``R^-1``, upper triangular ``[in, in]``, as from `etude.compress.hessian.inverse_factor`; None
        for the error of the weights.

    Returns
    -------
    LowRank : its product leaves ``sum_{k > rank} s_k^2`` of the squared error (of ``E``, or of ``E R``), but
        for its rounding.

    Examples
    --------
    >>> error = torch.tensor([[4.0, 0.0], [0.0, 1.0]])
    >>> compensate(error, rank=1).product()
    tensor([[4., 0.],
            [0., 0.]])

    References
    ----------
    Yao et al., "Exploring Post-training Quantization in LLMs from Comprehensive Study to Low Rank
    Compensation", AAAI 2024, sec. 5. arXiv:2303.08302.
    """
    rank = min(rank, *error.shape)
    if inputs is not None:
        error = torch.linalg.solve_triangular(inputs, error, upper=True, left=False)
    if error.shape[0] > error.shape[1]:
        right, left = _halves(error.T, rank)
        right, left = right.T, left.T
    else:
        left, right = _halves(error, rank)
    if inputs is not None:
        left, right = _balanced(left, right @ inputs)
    return LowRank(_stored(left, factors), _stored(right, factors), factors)


def _halves(error: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Both factors of a matrix with no more rows than columns."""
    directions = _directions(error, rank)
    projected = directions.T @ error
    strengths = projected.norm(dim=1)
    root = strengths.sqrt()
    return directions * root, projected / torch.where(root > 0, root, 1.0)[:, None]


def _balanced(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """The same product with columns of ``left`` as long as the rows of ``right``."""
    long, wide = left.norm(dim=0), right.norm(dim=1)
    ratio = torch.where((long > 0) & (wide > 0), wide / long, 1.0).sqrt()
    return left * ratio, right / ratio[:, None]


def _directions(error: Tensor, rank: int) -> Tensor:
    """The first left singular vectors, ``[rows, rank]``.

    Through the Gram matrix of the short side in float64: a fifth of the time of a full decomposition,
    and exact to far below float32.
    """
    if len(error) <= EXACT_UP_TO:
        wide = error.double()
        vectors: Tensor = torch.linalg.eigh(wide @ wide.T).eigenvectors
        return vectors[:, -rank:].flip(1).float() if rank else vectors[:, :0].float()
    return torch.svd_lowrank(error, q=rank + 8, niter=4)[0][:, :rank]


def _stored(factor: Tensor, factors: Factors) -> Tensor:
    if factors == "float16":
        return factor.half().float()
    grid = Integers(bits=8, symmetric=True, convention="awq")
    rows = split(factor, "channel")
    return grid.round(rows, grid.fit(rows))[:, 0]
