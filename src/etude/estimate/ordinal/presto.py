"""PRESTO: the common steps of a funnel inform the rare last one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import annotated_types as at

from etude.errors import InputError
from etude.estimate.tables import check_features, check_target
from etude.method import method, parameters

if TYPE_CHECKING:
    from etude.estimate.ordinal.penalised import PrestoClassifier


@method("presto", task="ordinal", paper="presto", beside=("ordinal-net",))
class Presto:
    """Shrink the weights of neighbouring steps towards each other.

    Fits one cumulative-logit boundary a step and penalises how much the weights change from one to the
    next. `PrestoClassifier` is the same for scikit-learn.

    Parameters
    ----------
    lam : strength of the penalty; none to choose it from a path by cross-validation.
    n_lams : penalties on the path, descending in equal ratios; the authors use 20 on drawn data and 100
        on real data.
    lam_min_ratio : smallest penalty as a share of the largest; the authors use 0.01 on drawn data and
        0.0001 on real data.
    l1_ratio : share of the absolute value in the penalty; the rest goes to half the square (0: ridge).
    penalize_first : whether the first step's weights are penalised too.
    cv : folds, stratified, and grouped where groups are given; the Brier score decides.
    max_iter : Newton steps for one penalty, at most.

    Raises
    ------
    InputError : if a field is out of range, a feature or the target has gaps, or there are fewer than
        three levels.

    Examples
    --------
    >>> from etude.estimate.ordinal.designs import sparse_differences
    >>> drawn = sparse_differences(n=600, p=4, seed=0)
    >>> model = Presto(lam=0.005).estimate(drawn.X, drawn.y)
    >>> model.predict_proba(drawn.X).shape
    (600, 4)

    References
    ----------
    Faletto and Bien, "Predicting Rare Events by Shrinking Towards Proportional Odds", ICML 2023.
    arXiv:2305.18700.
    """

    lam: Annotated[float | None, at.Ge(0)] = None
    n_lams: Annotated[int, at.Ge(1)] = 20
    lam_min_ratio: Annotated[float, at.Interval(gt=0, lt=1)] = 0.01
    l1_ratio: Annotated[float, at.Interval(ge=0, le=1)] = 1.0
    penalize_first: bool = True
    cv: Annotated[int, at.Ge(2)] = 5
    max_iter: Annotated[int, at.Ge(1)] = 100

    def estimate(self, X: Any, y: Any, groups: Any = None) -> PrestoClassifier:
        """A classifier fitted to ``X [n, p]`` and ordered labels ``y [n]``."""
        from etude.estimate.ordinal import PrestoClassifier

        check_features(X)
        if len(set(check_target(y, X.shape[0]).tolist())) == 2:
            raise InputError("y", "has two levels; PRESTO needs three, with two it is L1 logistic regression")
        found: PrestoClassifier = PrestoClassifier(**parameters(self)).fit(X, y, groups)
        return found
