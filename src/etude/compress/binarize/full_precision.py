"""The encoder as it is: the row that every binary one is read against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from etude.method import method


@method("full-precision-encoder", task="binarize")
class FullPrecisionEncoder:
    """Make nothing binary.

    Examples
    --------
    >>> from etude import data, models
    >>> model, tokenizer = models.load("nano-bert")
    >>> FullPrecisionEncoder().binarize(model, {}, tokenizer)
    """

    def binarize(self, model: Any, corpus: Mapping[str, Tensor], tokenizer: Any) -> None:
        """Leave ``model`` as it is."""
