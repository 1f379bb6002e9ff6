"""Proportional odds: every step has the same weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from etude.estimate.tables import check_features, check_target
from etude.method import method

if TYPE_CHECKING:
    from etude.estimate.ordinal.unpenalised import ProportionalOddsClassifier


@method("proportional-odds", task="ordinal")
class ProportionalOdds:
    """One weight vector for all steps, by maximum likelihood.

    Examples
    --------
    >>> from etude.estimate.ordinal.designs import sparse_differences
    >>> drawn = sparse_differences(n=600, p=4, seed=0)
    >>> ProportionalOdds().estimate(drawn.X, drawn.y).coef_.shape
    (4, 3)
    """

    def estimate(self, X: Any, y: Any) -> ProportionalOddsClassifier:
        """A classifier fitted to ``X [n, p]`` and ordered labels ``y [n]``."""
        from etude.estimate.ordinal import ProportionalOddsClassifier

        check_features(X)
        check_target(y, X.shape[0])
        return ProportionalOddsClassifier().fit(X, y)
