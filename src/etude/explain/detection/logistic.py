"""Logistic regression by Newton's method: small, exact, and the same on every machine."""

from __future__ import annotations

import torch
from torch import Tensor


def logistic(features: Tensor, targets: Tensor, ridge: float, steps: int = 100) -> tuple[Tensor, Tensor]:
    """Minimise the summed cross-entropy plus ``ridge / 2`` times the squared coefficients.

    Parameters
    ----------
    features : float64 ``[rows, columns]``.
    targets : in [0, 1], float64 ``[rows]``.
    ridge : above 0; the intercept is not penalised.
    steps : of Newton's method at most; each is halved until the objective falls.

    Returns
    -------
    (coefficients, intercept) : float64 ``[columns]`` and ``[]``.

    Examples
    --------
    >>> x = torch.tensor([[0.0], [1.0], [2.0], [3.0]], dtype=torch.float64)
    >>> w, b = logistic(x, torch.tensor([0.0, 1.0, 0.0, 1.0], dtype=torch.float64), ridge=1.0)
    >>> round(float(w[0]), 3), round(float(b), 3)
    (0.453, -0.679)
    """
    design = torch.cat([features, torch.ones(len(features), 1, dtype=features.dtype)], 1)
    penalty = torch.full((design.shape[1],), ridge, dtype=features.dtype)
    penalty[-1] = 0.0
    found = torch.zeros(design.shape[1], dtype=features.dtype)
    loss = _objective(design, targets, penalty, found)
    for _ in range(steps):
        chances = (design @ found).sigmoid()
        slope = design.T @ (chances - targets) + penalty * found
        if float(slope.abs().max()) < 1e-10:
            break
        curvature = (design * (chances * (1 - chances))[:, None]).T @ design + penalty.diag()
        curvature += 1e-12 * torch.eye(len(curvature), dtype=features.dtype)
        step = torch.linalg.solve(curvature, slope)
        while (
            after := _objective(design, targets, penalty, found - step)
        ) > loss and step.abs().max() > 1e-14:
            step = step / 2
        found, loss = found - step, after
    return found[:-1], found[-1]


def _objective(design: Tensor, targets: Tensor, penalty: Tensor, found: Tensor) -> Tensor:
    logits = design @ found
    cross = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="sum")
    return cross + 0.5 * (penalty * found.square()).sum()
