"""What every method of quantising classifiers is checked on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from etude import models
from etude.compress.quantize_vision import layout
from etude.compress.quantize_vision.training import Training
from etude.data.images import Images
from etude.models.images import Preprocessing
from etude.seeds import seeded
from etude.task import Example

SIDE, COUNT, CLASSES = 8, 12, 3


def tiny_transformer(**settings: Any) -> Any:
    """A ViT of two blocks with random weights."""
    from transformers import ViTConfig, ViTForImageClassification

    return _seeded(lambda: ViTForImageClassification(ViTConfig(**_sizes() | settings)))


def tiny_distilled() -> Any:
    """A DeiT, whose labels and whose teacher have a token and a head each."""
    from transformers import DeiTConfig, DeiTForImageClassificationWithTeacher

    return _seeded(lambda: DeiTForImageClassificationWithTeacher(DeiTConfig(**_sizes())))


def tiny_residual() -> Any:
    """A ResNet: convolutions and batch normalisation."""
    from transformers import ResNetConfig, ResNetForImageClassification

    sizes: dict[str, Any] = {
        "hidden_sizes": [8, 8],
        "depths": [1, 1],
        "embedding_size": 8,
        "num_labels": CLASSES,
    }
    config = ResNetConfig(**sizes, layer_type="basic")
    config.image_size = SIDE
    return _seeded(lambda: ResNetForImageClassification(config))


def tiny_training(epochs: int = 1) -> Training:
    """Random images."""
    draw = torch.Generator().manual_seed(1)
    pixels = torch.randint(256, (COUNT, 3, SIDE, SIDE), generator=draw, dtype=torch.uint8)
    images = Images(pixels, torch.arange(COUNT) % CLASSES, ("a", "b", "c"))
    return Training(images, Preprocessing(SIDE), epochs, batch=6)


def _sizes() -> dict[str, Any]:
    return {
        "image_size": SIDE,
        "patch_size": 4,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "num_labels": CLASSES,
    }


def _seeded(make: Callable[[], nn.Module]) -> nn.Module:
    """A model whose biases are random too, so that nothing is zero by chance."""
    with seeded(0):
        model = make().eval()
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.data += 0.1 * torch.randn_like(parameter)
        return model


def _images(**changes: Any) -> Training:
    good = tiny_training()
    return replace(good, images=replace(good.images, **changes))


def _malformed() -> Mapping[str, Callable[[], Any]]:
    good = tiny_training().images
    return {
        "images instead of a training": lambda: good,
        "no images": lambda: _images(pixels=good.pixels[:0], labels=good.labels[:0]),
        "fewer labels than images": lambda: _images(labels=good.labels[1:]),
        "a label above the classes": lambda: _images(labels=good.labels + CLASSES),
        "a label below 0": lambda: _images(labels=good.labels - CLASSES),
        "labels with fractions": lambda: _images(labels=good.labels.float()),
        "pixels with fractions": lambda: _images(pixels=good.pixels.float()),
        "grey images": lambda: _images(pixels=good.pixels[:, :1]),
        "larger images": lambda: _images(pixels=good.pixels.repeat(1, 1, 2, 2)),
        "no epochs": lambda: replace(tiny_training(), epochs=0),
        "empty batches": lambda: replace(tiny_training(), batch=0),
    }


@dataclass(frozen=True)
class QuantizeVisionChecks:
    """See `etude.task.Checks`."""

    verb: str = "quantize"
    edits: Sequence[str] = ("model",)

    def examples(self) -> Sequence[Example]:
        """One model of each kind; what is made for transformers may refuse convolutions."""
        return [
            Example("a vision transformer", _arguments(tiny_transformer)),
            Example(
                "one without biases in its attention", _arguments(lambda: tiny_transformer(qkv_bias=False))
            ),
            Example("one with a head for its teacher", _arguments(tiny_distilled)),
            Example("a residual network", _arguments(tiny_residual), refusable=True),
        ]

    def malformed(self) -> Sequence[Example]:
        """Images that cannot be learned from, and a model without layers."""
        return [
            *(
                Example(name, _arguments(tiny_transformer, training=bad), wrong="training")
                for name, bad in _malformed().items()
            ),
            Example("one layer", _arguments(lambda: nn.Sequential(nn.Linear(2, 2))), wrong="model"),
        ]

    def identity(self, method: type[Any]) -> Mapping[str, Any] | None:
        """At most 8 bits are stored, so only the method that stores none changes nothing."""
        return {} if method.name == "full-precision-vision" else None

    def outcome(self, arguments: Mapping[str, Any], returned: Any) -> Any:
        """The model, and what was returned."""
        return arguments["model"], returned

    def look(self, outcome: Any) -> Any:
        """What the model predicts."""
        images = tiny_training().images
        with torch.no_grad():
            return {"logits": outcome[0].eval()(Preprocessing(SIDE)(images.pixels)).logits}

    def reload(self, outcome: Any, folder: Path) -> Any:
        """Through the layout of the task, or through `etude.models` where nothing was quantised."""
        if outcome[1].plan is None:
            models.save(outcome[0], None, folder)
            return models.load(folder)[0], outcome[1]
        model, returned = outcome
        layout.save(model, returned, None, folder)
        return layout.load(folder)


def _arguments(model: Callable[[], nn.Module], training: Callable[[], Any] = tiny_training) -> Any:
    return lambda: {"model": model(), "training": training()}


CHECKS = QuantizeVisionChecks()
