"""LSQ+: quantisation-aware training of a classifier for one format."""

from __future__ import annotations

from typing import Annotated, Any

import annotated_types as at
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from etude.compress.quantize_vision import training as learning
from etude.compress.quantize_vision.elastic import Elastic, Ranges, search_ranges, uniform
from etude.compress.quantize_vision.outcome import Outcome
from etude.compress.quantize_vision.supernet import recalibrate
from etude.compress.quantize_vision.training import Schedule, Training
from etude.compress.quantize_vision.uniform import Uniform
from etude.method import method


@method("lsq-plus-vision", task="quantize-vision")
class LsqPlusVision(Uniform):
    """Train for one format with learned steps and offsets: what EQ-Net is measured against.

    It is EQ-Net's training with one sub-network, one format, and neither of its losses.

    Parameters
    ----------
    learning_rate : of Adam, at the start of a cosine to 0.
    tries : ranges tried for each step's start, in hundredths of the extremes.
    others : find the ranges of all other formats anew when training is over, so that the model can be set to
        them too; without, they are those that fitted the weights at the start.

    Raises
    ------
    InputError : if a field is out of range, the model has too few layers, or the images do not fit.

    Examples
    --------
    >>> from etude.compress.quantize_vision.checks import tiny_training, tiny_transformer
    >>> model = tiny_transformer()
    >>> _ = LsqPlusVision(bits=3, activation_bits=4).quantize(model, tiny_training(epochs=2))
    >>> len(model.vit.layers[0].mlp.fc1.weight()[0].unique()) <= 8
    True

    References
    ----------
    Bhalgat et al., "LSQ+: Improving low-bit quantization through learnable offsets and better
    initialization", 2020. arXiv:2004.09576.
    """

    learning_rate: Annotated[float, at.Gt(0)] = 1e-3
    tries: Annotated[int, at.Interval(ge=1, le=99)] = 80
    others: bool = False

    def quantize(self, model: Any, training: Training) -> Outcome:
        """Train ``model`` in place."""
        self.check(model)
        learning.check(model, training)
        Elastic().apply(model)
        calibration = training.calibration()
        search_ranges(model, calibration, self.tries)
        uniform(model, self.format)
        started = _ranges(model)
        self._train(model, training)
        if self.others:
            trained = _ranges(model)
            search_ranges(model, calibration, self.tries)
            for place, searched in _ranges(model).items():
                moved = trained[place] != started[place]
                model.get_parameter(place).data.copy_(torch.where(moved, trained[place], searched))
            uniform(model, self.format)
        recalibrate(model, calibration)
        return Outcome(Elastic())

    def _train(self, model: Any, training: Training) -> None:
        def backward(inputs: Tensor, labels: Tensor) -> None:
            F.cross_entropy(model(inputs).logits, labels).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_value_(model.parameters(), 1.0)

        optimizer = torch.optim.Adam(model.parameters())
        rate = Schedule(training.steps, self.learning_rate)
        learning.fit(model, optimizer, training.batches(strong=False), training.steps, backward, rate)


def _ranges(model: nn.Module) -> dict[str, Tensor]:
    """Copies of all steps and offsets by name."""
    return {
        f"{name}.{last}": parameter.detach().clone()
        for name, module in model.named_modules()
        if isinstance(module, Ranges)
        for last, parameter in module.named_parameters()
    }
