"""What quantiles are trained on: the pinball loss and a penalty where levels cross.

References
----------
Fakoor, Kim, Mueller, Smola and Tibshirani, "Flexible Model Aggregation for Quantile Regression", JMLR
24(162), 2023. arXiv:2103.00083.
"""

from __future__ import annotations

import torch
from torch import Tensor


def pinball(quantiles: Tensor, y: Tensor, levels: Tensor) -> Tensor:
    """Mean over rows and levels of ``max(tau r, (tau - 1) r)`` with ``r = y - q``.

    Parameters
    ----------
    quantiles : ``[n, m]``.
    y : ``[n]``.
    levels : tau, ``[m]``.

    Examples
    --------
    >>> pinball(torch.tensor([[0.0, 2.0]]), torch.tensor([1.0]), torch.tensor([0.1, 0.9]))
    tensor(0.1000)
    """
    residual = y[:, None] - quantiles
    return torch.maximum(levels * residual, (levels - 1) * residual).mean()


def crossing(quantiles: Tensor, margins: Tensor) -> Tensor:
    """Mean over rows and pairs of levels tau < tau' of ``relu(q_tau - q_tau' + margin)``.

    Parameters
    ----------
    quantiles : ``[n, m]``.
    margins : ``[m, m]``; that of tau < tau' stands above the diagonal, the rest has no say.
    """
    m = quantiles.shape[1]
    low, high = torch.triu_indices(m, m, offset=1)
    gaps = quantiles[:, low] - quantiles[:, high] + margins[low, high]
    return gaps.relu().mean()


def adaptive_margins(residuals: Tensor, levels: Tensor, scale: float) -> Tensor:
    """``scale * relu(Q_tau'(R) - Q_tau(R))`` for pairs of levels, from a pilot's residuals R, ``[m, m]``."""
    at = torch.quantile(residuals, levels)
    return scale * (at[None, :] - at[:, None]).relu()
