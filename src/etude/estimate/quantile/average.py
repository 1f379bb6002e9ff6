"""The plain average, or the median, of quantile models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from etude.method import method

if TYPE_CHECKING:
    from etude.estimate.quantile.combined import Combined


@method("quantile-average", task="quantile")
class QuantileAverage:
    """Average the models' quantiles level by level; learns nothing.

    Parameters
    ----------
    centre : "mean" or "median" over the models.
    repair : how rows are put in order: "sort", "pava", "sweep" or "none".

    Examples
    --------
    >>> import numpy as np
    >>> z = np.array([[[0.0, 1.0], [2.0, 3.0]]])
    >>> found = QuantileAverage().aggregate(z, y=np.array([1.0]), X=np.array([[0.0]]), levels=[0.1, 0.9])
    >>> found.predict(z, np.array([[0.0]])).tolist()
    [[1.0, 2.0]]
    """

    centre: Literal["mean", "median"] = "mean"
    repair: Literal["sort", "pava", "sweep", "none"] = "sort"

    def aggregate(self, z: Any, y: Any, X: Any, levels: Any) -> Combined:
        """See `etude.estimate.quantile.Dqa.aggregate`; the targets are not used."""
        from etude.estimate.quantile.combined import Pooled
        from etude.estimate.quantile.given import check_given

        z, _, _, levels = check_given(z, y, X, levels)
        return Pooled(levels, list(range(z.shape[1])), self.centre, self.repair)
