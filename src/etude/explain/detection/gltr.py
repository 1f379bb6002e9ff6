"""GLTR: how many tokens stand among the first ten, hundred and thousand of the model's list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import annotated_types as at
import torch
from torch import Tensor

from etude.explain.detection.logistic import logistic
from etude.explain.detection.reading import Reading
from etude.explain.detection.scorer import Scorer, check_labels, check_readings
from etude.method import method

BOUNDS = (10, 100, 1000)


@method("gltr", task="detection")
class GLTR:
    """Logistic regression on the shares of tokens of rank 1-10, 11-100, 101-1,000 and beyond.

    Parameters
    ----------
    ridge : weight of the squared coefficients, the intercept's left out: 1 / C of scikit-learn.

    Raises
    ------
    InputError : if a field is out of range, or an argument does not fit.

    Examples
    --------
    >>> import etude
    >>> from etude.explain.detection.reading import Reader
    >>> reader = Reader(*etude.models.load("nano-llama"))
    >>> readings = reader.read(["It was a good thing to do.", "It fig a sofa to egg."])
    >>> (GLTR().fit(readings, [1, 0])(readings) > 0).tolist()
    [True, False]

    References
    ----------
    Gehrmann et al., "GLTR: Statistical Detection and Visualization of Generated Text", ACL 2019.
    arXiv:1906.04043.
    """

    ridge: Annotated[float, at.Interval(gt=0)] = 1.0

    def fit(self, readings: Sequence[Reading], labels: Any) -> Scorer:
        """Fit the regression."""
        check_readings(readings)
        targets = check_labels(labels, len(readings))
        coefficients, intercept = logistic(_shares(readings), targets.double(), self.ridge)
        return Scorer(self, {"coefficients": coefficients, "intercept": intercept})

    def score(self, tensors: Mapping[str, Tensor], readings: Sequence[Reading]) -> Tensor:
        """Logits of machine, ``[readings]``."""
        return _shares(readings) @ tensors["coefficients"] + tensors["intercept"]


def _shares(readings: Sequence[Reading]) -> Tensor:
    """Of a text's tokens in each of the four ranges of ranks, float64 ``[readings, 4]``."""
    bounds = torch.tensor(BOUNDS, dtype=torch.float64)
    rows = [torch.bincount(torch.bucketize(r.ranks, bounds), minlength=4) for r in readings]
    counts = torch.stack(rows).double()
    return counts / counts.sum(1, keepdim=True)
