"""The curvature of a layer's squared output error, as second-order methods use it."""

from __future__ import annotations

import torch
from torch import Tensor


def inverse_factor(hessian: Tensor, damping: float) -> Tensor:
    """Upper Cholesky factor ``U`` of the inverse of a damped Hessian, ``U^T U = (H + d I)^-1``.

    Row ``i`` of ``U``, divided by its diagonal element, says how the columns after ``i`` make up best
    for a change in column ``i``: all that GPTQ and SparseGPT need of the Hessian, from one inversion.

    Parameters
    ----------
    hessian : ``sum_t x_t x_t^T``, ``[features, features]``, symmetric; any positive factor cancels.
    damping : ``d`` as a share of the mean of the diagonal; raised tenfold as often as the matrix is
        not positive definite, in its own precision and in float64.

    Returns
    -------
    Tensor : ``[features, features]`` upper triangular; features that were always 0 are treated as
        independent of all others.

    Raises
    ------
    ValueError : if the matrix is not finite, or cannot be made positive definite by damping.

    Examples
    --------
    >>> inverse_factor(torch.diag(torch.tensor([4.0, 0.0])), damping=0.0)
    tensor([[0.5000, 0.0000],
            [0.0000, 1.0000]])
    """
    if not bool(hessian.isfinite().all()):
        raise ValueError("the inputs of a layer are not finite; the model is broken before it")
    for tenfold in range(6):
        share = damping if tenfold == 0 else max(damping, 1e-6) * 10**tenfold
        factor = _factor(_damped(hessian, share))
        if factor is None and hessian.dtype != torch.float64:
            factor = _factor(_damped(hessian.double(), share))
        if factor is not None:
            return factor.to(hessian.dtype)
    raise ValueError("the Gram matrix of a layer's inputs is not positive definite, however damped")


def _damped(hessian: Tensor, share: float) -> Tensor:
    """A damped copy whose features that were always 0 stand alone, and come in reverse order."""
    matrix = hessian.flip(0, 1)
    diagonal = matrix.diagonal()
    diagonal[diagonal == 0] = 1
    diagonal += share * diagonal.mean()
    return matrix


def _factor(matrix: Tensor) -> Tensor | None:
    """``U`` from one decomposition: ``H = U^-1 U^-T``, a Cholesky from the last feature to the first.

    Works in the memory of ``matrix``, and of one more: the widest layer's matrices are what second-order
    methods need most of. Both are handed to LAPACK in its own order, column by column, or it would copy.
    """
    lower, inverse = matrix.mT, torch.eye(len(matrix), dtype=matrix.dtype).mT
    failed = torch.empty((), dtype=torch.int32)
    torch.linalg.cholesky_ex(lower, out=(lower, failed))
    if int(failed):
        return None
    torch.linalg.solve_triangular(lower, inverse, upper=False, out=inverse)
    del matrix, lower
    return inverse.mT.flip(0, 1).mT
