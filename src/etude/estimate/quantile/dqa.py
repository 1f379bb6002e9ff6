"""Deep quantile aggregation: weights that depend on the model, the level and the input."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

import annotated_types as at

from etude.method import method

if TYPE_CHECKING:
    from etude.estimate.quantile.combined import Combined
    from etude.estimate.quantile.training import Plan, Settings
    from etude.estimate.quantile.weights import Weights


@method("dqa", task="quantile", paper="quantile-aggregation")
class Dqa:
    """Learn a convex combination of quantile models, by Adam on the pinball loss.

    The paper's DQA has local and fine weights, a penalty where levels cross with margins that follow the
    data, and sorts what comes out. The other settings are its coarser, global and unpenalised versions.

    Parameters
    ----------
    resolution : "coarse" for a weight a model, "medium" for one a model and level, "fine" for all models'
        quantiles at all levels into each level.
    local : whether weights depend on the features, by a network, or are the same everywhere.
    margin : of the crossing penalty: "adaptive" to the residuals of the models' median, "fixed", or "none"
        for no penalty.
    repair : how rows are put in order: "sort", "pava", "sweep" or "none".
    through : whether the repair is applied inside the loss too (sorting, then, by a soft sort).
    searches : settings tried of the authors' grid: step size, penalty, margin, and those of the network.
    validation : share of the rows that validation is made on.
    patience : steps without improvement after which training stops.
    max_steps : after which it stops in any case.

    Raises
    ------
    InputError : if a field is out of range, levels are not in order, or arrays do not fit together.

    Examples
    --------
    >>> import numpy as np
    >>> draw = np.random.default_rng(0)
    >>> X = draw.uniform(-1, 1, (300, 1))
    >>> y = draw.normal(size=300)
    >>> z = np.stack([np.full((300, 3), [-0.7, 0.0, 0.7]), np.full((300, 3), 9.0)], axis=1)
    >>> method = Dqa(resolution="coarse", local=False, searches=1, max_steps=300)
    >>> found = method.aggregate(z, y, X, levels=[0.25, 0.5, 0.75])
    >>> bool(found.weights(X)[0, 0, 0] > 0.5)
    True

    References
    ----------
    Fakoor, Kim, Mueller, Smola and Tibshirani, "Flexible Model Aggregation for Quantile Regression", JMLR
    24(162), 2023. arXiv:2103.00083.
    """

    resolution: Literal["coarse", "medium", "fine"] = "fine"
    local: bool = True
    margin: Literal["adaptive", "fixed", "none"] = "adaptive"
    repair: Literal["sort", "pava", "sweep", "none"] = "sort"
    through: bool = False
    searches: Annotated[int, at.Ge(1)] = 20
    validation: Annotated[float, at.Interval(gt=0, lt=1)] = 0.2
    patience: Annotated[int, at.Ge(100)] = 500
    max_steps: Annotated[int, at.Ge(100)] = 20_000

    def aggregate(self, z: Any, y: Any, X: Any, levels: Any) -> Combined:
        """Learn to combine.

        Parameters
        ----------
        z : quantiles of p models for rows that they were not fitted on, ``[n, p, m]``.
        y : targets, ``[n]``.
        X : features, ``[n, d]``.
        levels : ascending in (0, 1), ``[m]``.
        """
        import torch

        from etude.estimate.quantile.combined import Learned, Scales
        from etude.estimate.quantile.given import check_given
        from etude.estimate.quantile.training import Rows, grid, search

        z, y, X, levels = check_given(z, y, X, levels)
        order = torch.randperm(len(y))
        held = max(1, round(self.validation * len(y)))
        train, kept = order[held:].numpy(), order[:held].numpy()
        scales = Scales.of(X[train], y[train])
        parts = [
            Rows(scales.targets(z[rows]), scales.targets(y[rows]), scales.features(X[rows]))
            for rows in (train, kept)
        ]
        settings = grid(local=self.local, margin=self.margin, searches=self.searches)
        plan = self._plan(z.shape[1], X.shape[1], torch.tensor(levels, dtype=torch.float32))
        network, best, steps = search(plan, settings, *parts)
        shape = self._shape(z.shape[1], len(levels), X.shape[1], best)
        return Learned(levels, network, shape, scales, self.repair, asdict(best) | {"steps": steps})

    def _plan(self, models: int, features: int, levels: Any) -> Plan:
        from etude.estimate.quantile.isotonic import REPAIRS, THROUGH
        from etude.estimate.quantile.training import Plan
        from etude.estimate.quantile.weights import Weights

        def build(chosen: Settings) -> Weights:
            return Weights(**self._shape(models, len(levels), features, chosen))

        return Plan(
            levels=levels,
            build=build,
            adaptive=self.margin == "adaptive",
            through=THROUGH[self.repair if self.through else "none"],
            repair=REPAIRS[self.repair],
            patience=self.patience,
            max_steps=self.max_steps,
        )

    def _shape(self, models: int, levels: int, features: int, chosen: Settings) -> dict[str, Any]:
        """The arguments of `Weights`."""
        return {
            "models": models,
            "levels": levels,
            "resolution": self.resolution,
            "features": features if self.local else None,
            "hidden": chosen.hidden,
            "layers": chosen.layers,
            "dropout": chosen.dropout,
        }
