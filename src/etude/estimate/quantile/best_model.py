"""The one model that is best out of fold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from etude.method import method

if TYPE_CHECKING:
    from etude.estimate.quantile.combined import Combined


@method("best-model", task="quantile")
class BestModel:
    """Use the single model with the least pinball loss on out-of-fold predictions.

    Parameters
    ----------
    repair : how rows are put in order: "sort", "pava", "sweep" or "none".

    Examples
    --------
    >>> import numpy as np
    >>> z = np.array([[[0.0, 1.0], [2.0, 3.0]]])
    >>> found = BestModel().aggregate(z, y=np.array([2.5]), X=np.array([[0.0]]), levels=[0.1, 0.9])
    >>> found.predict(z, np.array([[0.0]])).tolist()
    [[2.0, 3.0]]
    """

    repair: Literal["sort", "pava", "sweep", "none"] = "sort"

    def aggregate(self, z: Any, y: Any, X: Any, levels: Any) -> Combined:
        """See `etude.estimate.quantile.Dqa.aggregate`."""
        from etude.estimate.quantile.combined import Pooled
        from etude.estimate.quantile.given import check_given
        from etude.estimate.quantile.scores import pinball_losses

        z, y, _, levels = check_given(z, y, X, levels)
        losses = [pinball_losses(z[:, model], y, levels).mean() for model in range(z.shape[1])]
        return Pooled(levels, [losses.index(min(losses))], "mean", self.repair)
