"""A logistic regression for every step by itself: for the rare level, what one would do without PRESTO."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from etude.estimate.tables import check_features, check_target
from etude.method import method

if TYPE_CHECKING:
    from etude.estimate.ordinal.unpenalised import LogisticStepsClassifier


@method("logistic-steps", task="ordinal")
class LogisticSteps:
    """Plain logistic regression of reaching each step, without a penalty.

    Examples
    --------
    >>> from etude.estimate.ordinal.designs import sparse_differences
    >>> drawn = sparse_differences(n=600, p=4, seed=0)
    >>> LogisticSteps().estimate(drawn.X, drawn.y).coef_.shape
    (4, 3)
    """

    def estimate(self, X: Any, y: Any) -> LogisticStepsClassifier:
        """A classifier fitted to ``X [n, p]`` and ordered labels ``y [n]``."""
        from etude.estimate.ordinal import LogisticStepsClassifier

        check_features(X)
        check_target(y, X.shape[0])
        return LogisticStepsClassifier().fit(X, y)
