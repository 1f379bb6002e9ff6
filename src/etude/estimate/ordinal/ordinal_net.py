"""The elastic net of R's ordinalNet: weights shrink to 0, not towards those of the neighbouring step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import annotated_types as at

from etude.estimate.tables import check_features, check_target
from etude.method import method, parameters

if TYPE_CHECKING:
    from etude.estimate.ordinal.penalised import OrdinalNetClassifier


@method("ordinal-net", task="ordinal")
class OrdinalNet:
    """The same path as PRESTO's, with a penalty on the weights of every step by themselves.

    Parameters
    ----------
    lam : strength of the penalty; none to choose it from a path by cross-validation.
    form : "nonparallel", or "semiparallel" for a shared part and a deviation at every step.
    n_lams : penalties on the path.
    lam_min_ratio : smallest penalty as a share of the largest.
    l1_ratio : share of the absolute value in the penalty; the rest goes to half the square.
    cv : folds, stratified, and grouped where groups are given.
    max_iter : Newton steps for one penalty, at most.

    Examples
    --------
    >>> from etude.estimate.ordinal.designs import sparse_differences
    >>> drawn = sparse_differences(n=600, p=4, seed=0)
    >>> OrdinalNet(lam=0.005).estimate(drawn.X, drawn.y).coef_.shape
    (4, 3)

    References
    ----------
    Wurm, Rathouz and Hanlon, "Regularized Ordinal Regression and the ordinalNet R Package", Journal of
    Statistical Software 99(6), 2021.
    """

    lam: Annotated[float | None, at.Ge(0)] = None
    form: Literal["nonparallel", "semiparallel"] = "nonparallel"
    n_lams: Annotated[int, at.Ge(1)] = 20
    lam_min_ratio: Annotated[float, at.Interval(gt=0, lt=1)] = 0.01
    l1_ratio: Annotated[float, at.Interval(ge=0, le=1)] = 1.0
    cv: Annotated[int, at.Ge(2)] = 5
    max_iter: Annotated[int, at.Ge(1)] = 100

    def estimate(self, X: Any, y: Any, groups: Any = None) -> OrdinalNetClassifier:
        """A classifier fitted to ``X [n, p]`` and ordered labels ``y [n]``."""
        from etude.estimate.ordinal import OrdinalNetClassifier

        check_features(X)
        check_target(y, X.shape[0])
        found: OrdinalNetClassifier = OrdinalNetClassifier(**parameters(self)).fit(X, y, groups)
        return found
