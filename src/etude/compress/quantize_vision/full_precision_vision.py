"""The classifier as it is: the row that every other is read against."""

from __future__ import annotations

from typing import Any

from etude.compress.quantize_vision.outcome import Outcome
from etude.compress.quantize_vision.training import Training
from etude.method import method


@method("full-precision-vision", task="quantize-vision")
class FullPrecisionVision:
    """Quantise nothing and train nothing.

    Examples
    --------
    >>> FullPrecisionVision().quantize(None, None)
    Outcome(plan=None, figures={})
    """

    def quantize(self, model: Any, training: Training | None) -> Outcome:
        """Leave ``model`` as it is."""
        return Outcome()
