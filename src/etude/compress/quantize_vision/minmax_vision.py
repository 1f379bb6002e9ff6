"""Rounding a trained classifier between the extremes of its weights and activations, without training."""

from __future__ import annotations

from typing import Any

from etude.compress.quantize_vision import training as learning
from etude.compress.quantize_vision.elastic import Elastic, search_ranges, uniform
from etude.compress.quantize_vision.outcome import Outcome
from etude.compress.quantize_vision.training import Training
from etude.compress.quantize_vision.uniform import Uniform
from etude.method import method


@method("minmax-vision", task="quantize-vision")
class MinmaxVision(Uniform):
    """Round to nearest between the extremes of 256 images' activations and of the weights.

    Examples
    --------
    >>> from etude.compress.quantize_vision.checks import tiny_training, tiny_transformer
    >>> model = tiny_transformer()
    >>> _ = MinmaxVision(bits=3).quantize(model, tiny_training())
    >>> len(model.vit.layers[0].mlp.fc1.weight()[0].unique()) <= 8
    True
    """

    def quantize(self, model: Any, training: Training) -> Outcome:
        """Round ``model`` in place."""
        self.check(model)
        learning.check(model, training)
        Elastic().apply(model)
        search_ranges(model, training.calibration(), tries=1)
        uniform(model, self.format)
        return Outcome(Elastic())
