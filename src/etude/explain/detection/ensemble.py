"""Several detectors as one: the mean of their scores, calibrated anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from torch import Tensor

from etude.errors import InputError
from etude.explain.detection.calibration import Calibration, check_error
from etude.explain.detection.detector import Detector
from etude.explain.detection.fitting import split
from etude.explain.detection.judging import Judge
from etude.explain.detection.scorer import check_labels


class Ensemble(Judge):
    """Average the scores of detectors that read with different language models.

    All are trained on the same texts and calibrated together on the same others. Their methods must be the
    same, so that their scores are of one kind: logits, for `Pawn`.

    Parameters
    ----------
    detectors : two or more, unfitted; their own ``error``, ``folds`` and ``seed`` have no say.
    error, folds, seed : as for `Detector`.

    Attributes
    ----------
    classes_ : ``[0, 1]``.
    detectors_ : the fitted detectors.
    calibration_ : of the mean of their scores.

    Raises
    ------
    InputError : from `fit`, naming the argument that cannot be used.

    Examples
    --------
    >>> from etude.explain.detection import Detector, LogLikelihood
    >>> people = ["It fig a sofa to egg.", "Seven odd ducks quilted.", "Opal bricks hum at Ruth."]
    >>> machines = ["It was a good thing to do.", "He was not to be seen.", "I do not know what to say."]
    >>> two = [Detector(LogLikelihood(), length=length) for length in (32, 64)]
    >>> Ensemble(two).fit(people + machines, [0, 0, 0, 1, 1, 1]).predict(["It was not to be done."])
    array([1])
    """

    def __init__(
        self, detectors: Sequence[Detector], error: float = 0.05, folds: int = 3, seed: int = 0
    ) -> None:
        self.detectors = detectors
        self.error = error
        self.folds = folds
        self.seed = seed

    def fit(self, texts: Sequence[str], labels: Any, groups: Sequence[Any] | None = None) -> Ensemble:
        """Fit every detector, and calibrate the mean of their scores; arguments as for `Detector.fit`."""
        check_error(self.error)
        if len(self.detectors) < 2 or len({_kind(detector) for detector in self.detectors}) > 1:
            raise InputError("detectors", "are not two or more of one method")
        self.detectors_ = [
            clone(detector)
            .set_params(folds=self.folds, seed=self.seed, error=self.error)
            .fit(texts, labels, groups)
            for detector in self.detectors
        ]
        held_out = split(labels, groups, self.folds, self.seed)[1]
        targets = check_labels(labels, len(texts))[held_out]
        self.calibration_ = Calibration.of(self._scores([texts[i] for i in held_out]), targets)
        self.classes_ = np.array([0, 1])
        return self

    @property
    def _calibration(self) -> Calibration:
        self._check_fitted()
        return self.calibration_

    def _scores(self, texts: Sequence[str]) -> Tensor:
        self._check_fitted()
        several = [torch.from_numpy(detector.decision_function(texts)) for detector in self.detectors_]
        return torch.stack(several).mean(0)

    def _check_fitted(self) -> None:
        if not hasattr(self, "detectors_"):
            raise NotFittedError("this Ensemble is not fitted yet; call fit with texts and labels first")


def _kind(detector: Detector) -> str:
    return "pawn" if detector.method is None else str(detector.method.name)
