"""LSQ: learned step sizes for weights and activations of a vision transformer."""

from __future__ import annotations

from typing import Any

from etude.compress.quantize_vision.outcome import Outcome, finish
from etude.compress.quantize_vision.recipe import Lesson, Recipe
from etude.compress.quantize_vision.training import Training
from etude.compress.quantize_vision.transformer import Design
from etude.method import method


@method("lsq-vision", task="quantize-vision")
class LsqVision(Recipe):
    """Train with steps that are parameters: what OFQ is measured against.

    Weights have a step for each output, activations are shifted before and after they are rounded, and
    training is that of OFQ.

    Raises
    ------
    InputError : if a field is out of range, the model is no vision transformer, or the images do not fit.

    Examples
    --------
    >>> from etude.compress.quantize_vision.checks import tiny_training, tiny_transformer
    >>> model = tiny_transformer()
    >>> outcome = LsqVision(bits=3).quantize(model, tiny_training(epochs=2))
    >>> weight = model.get_submodule("vit.layers.0.mlp.fc1.weight")()
    >>> sorted(outcome.figures), [len(row.unique()) <= 8 for row in weight[:2]]
    (['oscillating'], [True, True])

    References
    ----------
    Esser et al., "Learned Step Size Quantization", ICLR 2020. arXiv:1902.08153.
    """

    @property
    def design(self) -> Design:
        """What the layers are replaced by."""
        return Design(bits=self.bits, activation_bits=self.activation_bits, weights="lsq", share=self.share)

    def quantize(self, model: Any, training: Training) -> Outcome:
        """Train ``model`` in place until its weights are codes; returns how many of them oscillated."""
        monitor = Lesson(self, model, self.design, training).train(training.steps)
        return finish(model, self.design, {"oscillating": monitor.share()})
