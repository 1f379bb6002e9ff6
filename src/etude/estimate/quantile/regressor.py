"""From rows to calibrated quantiles in one estimator: out-of-fold models, their aggregation, calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from etude.errors import InputError
from etude.estimate.quantile import conformal, scores
from etude.estimate.quantile.bases import base_models
from etude.estimate.quantile.combined import Combined
from etude.estimate.quantile.dqa import Dqa
from etude.estimate.quantile.folds import Bases, assign, out_of_fold, without_pairs
from etude.estimate.quantile.given import middle
from etude.estimate.quantile.scores import Array, check_levels
from etude.seeds import seeded

DEFAULT_MODELS = ("linear", "forest", "neighbours", "gaussian", "network")
DEFAULT_LEVELS = tuple(np.round(np.arange(0.05, 0.96, 0.05), 2).tolist())


class QuantileAggregator(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Several quantile models as one, whose quantiles never cross.

    Parameters
    ----------
    models : estimators by name, or names of `etude.estimate.quantile.bases.BASES`; see `bases.at_levels`
        for what an estimator must offer; None for a linear model, a forest, nearest neighbours, a
        conditional Gaussian and a network.
    levels : ascending in (0, 1); None for 0.05, 0.10 .. 0.95.
    aggregator : a method of the task quantile; None for `Dqa` with its defaults.
    folds : for out-of-fold quantiles.
    calibrate : conformal calibration: "split", on a share of the rows that nothing else sees; "cv+", on all
        of them, which fits the models K(K+1)/2 + 1 times; or None.
    calibration : the share of rows for "split".
    symmetric : whether both ends of an interval move alike in "split".
    random_state : seed of folds, models' draws and training.

    Attributes
    ----------
    levels_ : ``[m]``.
    combined_ : the fitted aggregator; `Dqa`'s tells its weights.
    offsets_ : what split calibration adds to each level, ``[m]``; zeros without it.

    Examples
    --------
    >>> from etude.estimate.quantile import QuantileAverage
    >>> draw = np.random.default_rng(0)
    >>> X = draw.uniform(size=(200, 2))
    >>> y = X[:, 0] + draw.normal(size=200) * X[:, 1]
    >>> models, levels = ["linear", "neighbours"], [0.1, 0.5, 0.9]
    >>> model = QuantileAggregator(models, levels=levels, aggregator=QuantileAverage())
    >>> low, high = model.fit(X, y).predict_interval(X, coverage=0.8)
    >>> bool((low <= high).all())
    True

    References
    ----------
    Fakoor, Kim, Mueller, Smola and Tibshirani, "Flexible Model Aggregation for Quantile Regression", JMLR
    24(162), 2023. arXiv:2103.00083.
    """

    def __init__(
        self,
        models: Mapping[str, Any] | Sequence[str] | None = None,
        *,
        levels: Sequence[float] | None = None,
        aggregator: Any = None,
        folds: int = 5,
        calibrate: Literal["split", "cv+"] | None = None,
        calibration: float = 0.2,
        symmetric: bool = True,
        random_state: int | None = None,
    ) -> None:
        self.models = models
        self.levels = levels
        self.aggregator = aggregator
        self.folds = folds
        self.calibrate = calibrate
        self.calibration = calibration
        self.symmetric = symmetric
        self.random_state = random_state

    def fit(self, X: Any, y: Any, groups: Any = None) -> QuantileAggregator:
        """Fit to features ``X [n, d]`` and targets ``y [n]``; rows of one group are never divided.

        Raises
        ------
        InputError : naming the parameter or argument at fault.
        """
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True, ensure_min_samples=2)
        self._check(len(y), groups)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        with seeded(seed):
            kept, held = self._calibration_rows(len(y), groups, seed)
            mine = None if groups is None else np.asarray(groups)[kept]
            self._fit(X[kept], y[kept], mine, seed)
            if len(held):
                self.offsets_ = conformal.offsets(
                    self._combine(X[held]), y[held], self.levels_, symmetric=self.symmetric
                )
        return self

    def predict_quantiles(self, X: Any) -> Array:
        """``[n, m]``, in order."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        if self.calibrate == "cv+":
            new = np.stack([c.predict(b.predict(X), X) for b, c in self._nested])
            return conformal.cv_plus(self._held, self._y, self._fold, new, self.levels_)
        quantiles = self._combine(X)
        return conformal.calibrated(quantiles, self.offsets_) if self.offsets_.any() else quantiles

    def predict(self, X: Any) -> Array:
        """The quantile nearest to the median, ``[n]``."""
        found: Array = self.predict_quantiles(X)[:, middle(self.levels_)]
        return found

    def predict_interval(self, X: Any, coverage: float = 0.8) -> tuple[Array, Array]:
        """The ends of the central interval, ``[n]`` each; its two levels must be among ``levels``."""
        return scores.interval(self.predict_quantiles(X), self.levels_, coverage)

    def _check(self, rows: int, groups: Any) -> None:
        self.levels_ = np.asarray(DEFAULT_LEVELS if self.levels is None else self.levels, dtype=float)
        check_levels(self.levels_)
        if self.folds < 2:
            raise InputError("folds", f"{self.folds} is not >= 2")
        if self.calibrate not in (None, "split", "cv+"):
            raise InputError("calibrate", f"{self.calibrate!r} is none of None, 'split', 'cv+'")
        if self.calibrate is not None:
            conformal.pairs(self.levels_)
        if not 0 < self.calibration < 1:
            raise InputError("calibration", f"{self.calibration} is not in (0, 1)")
        if groups is not None and len(groups) != rows:
            raise InputError("groups", f"has {len(groups)} entries for {rows} rows")

    def _calibration_rows(
        self, rows: int, groups: Any, seed: int
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        every = np.arange(rows)
        if self.calibrate != "split":
            return every, every[:0]
        parts = max(2, round(1 / self.calibration))
        away = assign(rows, parts, groups, seed) == 0
        return every[~away], every[away]

    def _fit(self, X: Array, y: Array, groups: Any, seed: int) -> None:
        models = self._models()
        aggregator = Dqa() if self.aggregator is None else self.aggregator
        fold = assign(len(y), self.folds, groups, seed)
        z, fitted = out_of_fold(models, X, y, self.levels_, fold)
        self.offsets_ = np.zeros(len(self.levels_))
        if self.calibrate == "cv+":
            self._fit_nested(models, aggregator, X, y, fold, z, fitted)
        self.combined_: Combined = aggregator.aggregate(z, y, X, self.levels_)
        self._bases = Bases(models, X, y, self.levels_)

    def _fit_nested(
        self,
        models: Mapping[str, Any],
        aggregator: Any,
        X: Array,
        y: Array,
        fold: NDArray[np.intp],
        z: Array,
        fitted: Mapping[int, Bases],
    ) -> None:
        """For every fold an aggregator that has seen nothing of it, and what it says of its rows."""
        nested = without_pairs(models, X, y, self.levels_, fold)
        self._held, self._y, self._fold = np.empty((len(y), len(self.levels_))), y, fold
        self._nested: list[tuple[Bases, Combined]] = []
        for k, quantiles in nested.items():
            others = fold != k
            combined = aggregator.aggregate(quantiles[others], y[others], X[others], self.levels_)
            self._held[~others] = combined.predict(z[~others], X[~others])
            self._nested.append((fitted[k], combined))

    def _models(self) -> Mapping[str, Any]:
        if self.models is None:
            return base_models(DEFAULT_MODELS)
        if isinstance(self.models, Mapping):
            return self.models
        return base_models(self.models)

    def _combine(self, X: Array) -> Array:
        return self.combined_.predict(self._bases.predict(X), X)
