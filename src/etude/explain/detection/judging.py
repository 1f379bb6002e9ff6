"""What a calibrated classifier of texts says: probabilities, labels, verdicts, thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin

from etude.explain.detection.calibration import Calibration, Verdict

if TYPE_CHECKING:
    from torch import Tensor


class Judge(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier of texts that has scores and a calibration of them, and an ``error`` that it may make."""

    error: float

    @property
    def _calibration(self) -> Calibration:
        raise NotImplementedError

    def _scores(self, texts: Sequence[str]) -> Tensor:
        raise NotImplementedError

    def decision_function(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Scores ``[texts]``, higher for machines; means over the windows of long texts."""
        scores: NDArray[np.float64] = self._scores(texts).numpy()
        return scores

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Calibrated probabilities of person and machine, ``[texts, 2]``."""
        machine = self._calibration.probabilities(self._scores(texts)).numpy()
        return np.stack([1 - machine, machine], 1)

    def predict(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """1 where machine is at least as probable as person, else 0."""
        return (self.predict_proba(texts)[:, 1] >= 0.5).astype(np.int64)

    def judge(self, texts: Sequence[str]) -> list[Verdict]:
        """ "machine", "human", or "unsure" where a verdict would be wrong more often than ``error``."""
        return self._calibration.verdicts(self._scores(texts), self.error)

    def threshold(self, rate: float) -> float:
        """The score that at most ``rate`` of people's texts are expected to exceed."""
        return self._calibration.threshold(rate)

    def picture(self, texts: Sequence[str], labels: Sequence[int], title: str) -> bytes:
        """A PNG of the scores of texts that it was not fitted on, and of how far its probabilities are right.

        Raises
        ------
        InputError : naming ``labels`` if they do not fit the texts, or are not both 0 and 1.
        """
        from etude.explain.detection.picture import picture
        from etude.explain.detection.scorer import check_labels

        found = check_labels(labels, len(texts))
        return picture(self._calibration, self._scores(texts), found, self.error, title)
