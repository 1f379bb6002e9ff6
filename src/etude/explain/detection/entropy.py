"""Entropy: machines write where the model is sure, or where it is not; the texts at hand say which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from etude.explain.detection.reading import Reading
from etude.explain.detection.scorer import Scorer, check_labels, check_readings, per_text
from etude.method import method


@method("entropy", task="detection")
class Entropy:
    """Score a text by the mean entropy of the model's predictions, with the sign that fits the labels.

    Which side is the machine's depends on how its texts were drawn, so the sign is learnt: that of the
    difference between the classes' means. It is all that is learnt.

    Examples
    --------
    >>> import etude
    >>> from etude.explain.detection.reading import Reader
    >>> reader = Reader(*etude.models.load("nano-llama"))
    >>> readings = reader.read(["It was a good thing to do.", "It fig a sofa to egg."])
    >>> first, second = Entropy().fit(readings, [1, 0])(readings)
    >>> bool(first > second)
    True
    """

    def fit(self, readings: Sequence[Reading], labels: Any) -> Scorer:
        """Learn the sign."""
        check_readings(readings)
        machine = check_labels(labels, len(readings)) == 1
        means = per_text(readings, _entropy)
        sign = 1.0 if means[machine].mean() >= means[~machine].mean() else -1.0
        return Scorer(self, {"sign": torch.tensor(sign)})

    def score(self, tensors: Mapping[str, Tensor], readings: Sequence[Reading]) -> Tensor:
        """Signed mean entropies in nats, ``[readings]``."""
        return tensors["sign"] * per_text(readings, _entropy)


def _entropy(reading: Reading) -> Tensor:
    return -reading.metric("entropy").mean()
