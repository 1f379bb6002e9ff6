"""Two neural base models: a conditional Gaussian, and one network for all levels at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn

from etude.estimate.quantile.combined import Scales
from etude.estimate.quantile.losses import adaptive_margins, crossing, pinball
from etude.estimate.quantile.scores import Array

SHARE = 0.1
"""Of the training rows that early stopping looks at."""


class _Network(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Two hidden layers with ELU, trained by Adam until held-out loss stops falling."""

    levels: Sequence[float]
    hidden: int
    lr: float
    max_epochs: int
    random_state: int | None

    def fit(self, X: Any, y: Any) -> Any:
        """Fit to features ``X [n, d]`` and targets ``y [n]``."""
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        self.scales_ = Scales.of(X, y)
        draw = torch.Generator().manual_seed(int(check_random_state(self.random_state).randint(2**31 - 1)))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(draw.initial_seed())
            self.network_ = nn.Sequential(
                nn.Linear(X.shape[1], self.hidden),
                nn.ELU(),
                nn.Linear(self.hidden, self.hidden),
                nn.ELU(),
                nn.Linear(self.hidden, self._outputs()),
            )
        self._train(self.scales_.features(X), self.scales_.targets(y), draw)
        return self

    def predict(self, X: Any) -> Array:
        """The level nearest to one half, ``[n]``."""
        return self.predict_quantiles(X)[:, int(np.abs(np.asarray(self.levels) - 0.5).argmin())]

    def predict_quantiles(self, X: Any) -> Array:
        """``[n, m]``; they may cross."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        with torch.no_grad():
            found: Array = self._quantiles(self.network_(self.scales_.features(X))).double().numpy()
        return found * self.scales_.y_scale + self.scales_.y_mean

    def _train(self, x: Tensor, y: Tensor, draw: torch.Generator) -> None:
        order = torch.randperm(len(y), generator=draw)
        held = max(1, round(SHARE * len(y)))
        kept, train = order[:held], order[held:] if len(y) > held else order
        loss = self._loss(y[train])
        optimiser = torch.optim.Adam(self.network_.parameters(), lr=self.lr)
        best, since, state = np.inf, 0, self.network_.state_dict()
        for _ in range(self.max_epochs):
            mixed = train[torch.randperm(len(train), generator=draw)]
            for batch in torch.split(mixed, 64):
                optimiser.zero_grad()
                loss(self.network_(x[batch]), y[batch]).backward()  # type: ignore[no-untyped-call]
                optimiser.step()
            with torch.no_grad():
                value = loss(self.network_(x[kept]), y[kept]).item()
            since += 1
            if value < best:
                best, since = value, 0
                state = {name: tensor.clone() for name, tensor in self.network_.state_dict().items()}
            if since >= 15:
                break
        self.network_.load_state_dict(state)

    def _outputs(self) -> int:
        raise NotImplementedError

    def _loss(self, y: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        """From outputs and targets to a number; ``y`` are all training targets."""
        raise NotImplementedError

    def _quantiles(self, outputs: Tensor) -> Tensor:
        raise NotImplementedError


class GaussianNetwork(_Network):
    """Mean and standard deviation of a normal distribution, as functions of the features.

    Parameters
    ----------
    levels : ascending in (0, 1).
    hidden : width of both hidden layers.
    lr : step size of Adam.
    max_epochs : passes over the rows, at most.
    random_state : seed of weights and batches.

    Examples
    --------
    >>> X = np.linspace(-1, 1, 200)[:, None]
    >>> model = GaussianNetwork(levels=[0.1, 0.9], max_epochs=2, random_state=0).fit(X, X[:, 0])
    >>> model.predict_quantiles(X).shape
    (200, 2)
    """

    def __init__(
        self,
        levels: Sequence[float] = (0.5,),
        hidden: int = 64,
        lr: float = 1e-3,
        max_epochs: int = 100,
        random_state: int | None = None,
    ) -> None:
        self.levels = levels
        self.hidden = hidden
        self.lr = lr
        self.max_epochs = max_epochs
        self.random_state = random_state

    def _outputs(self) -> int:
        return 2

    def _loss(self, y: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        def negative_log_likelihood(outputs: Tensor, target: Tensor) -> Tensor:
            mean, log_scale = outputs.unbind(dim=1)
            loss: Tensor = (log_scale + 0.5 * ((target - mean) / log_scale.exp()) ** 2).mean()
            return loss

        return negative_log_likelihood

    def _quantiles(self, outputs: Tensor) -> Tensor:
        normal: Tensor = torch.special.ndtri(torch.tensor(self.levels, dtype=outputs.dtype))
        return outputs[:, :1] + outputs[:, 1:].exp() * normal


class QuantileNetwork(_Network):
    """One network with an output a level, trained on the pinball loss of all levels.

    Parameters
    ----------
    levels : ascending in (0, 1).
    penalty : weight of the crossing penalty, with margins that follow the targets' quantiles; 0 for none.
    margin : scale of the margins.
    hidden : width of both hidden layers.
    lr : step size of Adam.
    max_epochs : passes over the rows, at most.
    random_state : seed of weights and batches.

    Examples
    --------
    >>> X = np.linspace(-1, 1, 200)[:, None]
    >>> model = QuantileNetwork(levels=[0.1, 0.9], max_epochs=2, random_state=0).fit(X, X[:, 0])
    >>> model.predict_quantiles(X).shape
    (200, 2)
    """

    def __init__(
        self,
        levels: Sequence[float] = (0.5,),
        penalty: float = 0.0,
        margin: float = 0.01,
        hidden: int = 64,
        lr: float = 1e-3,
        max_epochs: int = 100,
        random_state: int | None = None,
    ) -> None:
        self.levels = levels
        self.penalty = penalty
        self.margin = margin
        self.hidden = hidden
        self.lr = lr
        self.max_epochs = max_epochs
        self.random_state = random_state

    def _outputs(self) -> int:
        return len(self.levels)

    def _loss(self, y: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        levels = torch.tensor(self.levels, dtype=y.dtype)
        margins = adaptive_margins(y - y.median(), levels, self.margin)

        def penalised(outputs: Tensor, target: Tensor) -> Tensor:
            loss = pinball(outputs, target, levels)
            return loss + self.penalty * crossing(outputs, margins) if self.penalty else loss

        return penalised

    def _quantiles(self, outputs: Tensor) -> Tensor:
        return outputs
