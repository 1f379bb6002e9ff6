"""Stacking by linear quantile regression: QRA, and FQRA over all levels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import annotated_types as at

from etude.method import method
from etude.progress import track

if TYPE_CHECKING:
    from etude.estimate.quantile.combined import Combined


@method("qra", task="quantile")
class Qra:
    """For every level, a linear quantile regression of the target on the models' quantiles.

    Weights are the same everywhere, and need neither be positive nor sum to 1.

    Parameters
    ----------
    full : whether the quantiles of all levels are regressors for each level (FQRA), not those of the same.
    l1 : strength of a penalty on the absolute weights; FQRA, which has many, needs some.
    repair : how rows are put in order: "sort", "pava", "sweep" or "none".

    Examples
    --------
    >>> import numpy as np
    >>> y = np.arange(20.0)
    >>> z = np.stack([y - 1, y + 1], axis=1)[:, None]
    >>> found = Qra().aggregate(z, y, y[:, None], levels=[0.25, 0.75])
    >>> bool(np.allclose(found.predict(z, y[:, None]), y[:, None]))
    True

    References
    ----------
    Nowotarski and Weron, "Computing electricity spot price prediction intervals using quantile regression
    and forecast averaging", Computational Statistics 30(3), 2015.
    """

    full: bool = False
    l1: Annotated[float, at.Ge(0)] = 0.0
    repair: Literal["sort", "pava", "sweep", "none"] = "sort"

    def aggregate(self, z: Any, y: Any, X: Any, levels: Any) -> Combined:
        """See `etude.estimate.quantile.Dqa.aggregate`."""
        import numpy as np
        from sklearn.linear_model import QuantileRegressor

        from etude.estimate.quantile.combined import Scales, Stacked
        from etude.estimate.quantile.given import check_given

        z, y, X, levels = check_given(z, y, X, levels)
        scales = Scales.of(X, y)
        u, v = (z - scales.y_mean) / scales.y_scale, (y - scales.y_mean) / scales.y_scale
        coefs, intercepts = [], []
        for place, level in enumerate(track(levels, "levels")):
            inputs = u.reshape(len(u), -1) if self.full else u[:, :, place]
            model = QuantileRegressor(quantile=level, alpha=self.l1, solver="highs").fit(inputs, v)
            coefs.append(model.coef_)
            intercepts.append(model.intercept_ * scales.y_scale + scales.y_mean * (1 - model.coef_.sum()))
        return Stacked(levels, np.stack(coefs, axis=1), np.array(intercepts, dtype=float), self.repair)
