"""What a quantised classifier is worth and what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import nn

from etude.compress.quantize_vision import training as learning
from etude.compress.quantize_vision.elastic import (
    average_bits,
    configure,
    elastic_layers,
    uniform,
)
from etude.compress.quantize_vision.extraction import extract
from etude.compress.quantize_vision.formats import Format
from etude.compress.quantize_vision.layers import computing
from etude.compress.quantize_vision.supernet import recalibrate
from etude.compress.quantize_vision.training import Training
from etude.compress.quantize_vision.weights import Frozen
from etude.data.images import Images


class Judge:
    """Judges what was made of one model.

    Parameters
    ----------
    dense : the model in full precision.
    images : that it has not seen.
    training : how they are prepared, and what recalibration may see.
    """

    def __init__(self, dense: nn.Module, images: Images, training: Training) -> None:
        self._dense = dense
        self._images = images
        self._training = training

    def accuracy(self, model: nn.Module) -> float:
        """Share of the images whose class is predicted, in percent."""
        return learning.accuracy(model, self._images, self._training.prepared)

    def costs(self, model: nn.Module) -> dict[str, float]:
        """Bits for each weight of the inner layers in full precision, and megabytes of all tensors.

        What an elastic model is set to is costed by itself.
        """
        if elastic_layers(model):
            model, _ = extract(model)
        inner = list(computing(self._dense).values())[1:-1]
        dense = sum(layer.weight.numel() for layer in inner)
        stored = [module for module in model.modules() if isinstance(module, Frozen)]
        ends = (stored[0], stored[-1]) if stored else ()
        bits = sum(weight.stored_bits() for weight in stored if weight not in ends) if stored else 32 * dense
        packed = sum(weight.stored_bits() for weight in stored) / 8
        inside = {id(buffer) for weight in stored for buffer in weight.buffers()}
        plain = sum(
            tensor.numel() * tensor.element_size()
            for tensor in (*model.parameters(), *model.buffers())
            if id(tensor) not in inside
        )
        return {"bits_per_weight": bits / dense, "size_mb": (packed + plain) / 1e6}

    def in_formats(self, model: nn.Module, formats: Mapping[str, Format]) -> dict[str, float]:
        """Accuracy in each format, and the gain over equal bits everywhere; nothing if not elastic.

        The model is left as it is set.
        """
        layers = elastic_layers(model)
        if not layers:
            return {}
        as_set = [layer.weight.format for layer in layers]
        bits, activation_bits = map(round, average_bits(model))
        equal = replace(as_set[1], bits=bits, activation_bits=activation_bits)
        found = {"gain_of_search": self.accuracy(model) - self._in_format(model, equal)}
        found |= {f"accuracy_{name}": self._in_format(model, form) for name, form in formats.items()}
        configure(model, as_set)
        recalibrate(model, self._training.calibration())
        return found

    def _in_format(self, model: nn.Module, form: Format) -> float:
        uniform(model, form)
        recalibrate(model, self._training.calibration())
        return self.accuracy(model)
