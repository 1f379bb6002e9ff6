"""Quantisation-aware training: one image classifier and labelled images in, the same in fewer bits out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import annotated_types as at

from etude.errors import InputError
from etude.method import check_fields
from etude.seeds import seeded
from etude.task import Metric

if TYPE_CHECKING:
    from etude.compress.quantize_vision.outcome import Outcome


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What is quantised, and how long it may be trained.

    Parameters
    ----------
    model : a built-in image classifier ("nano-vit"), or a folder in Hugging Face format.
    data : labelled images: a named set, or a folder with ``train`` and ``test``, each a folder or a zip
        with one folder of images for each class.
    epochs : times that each training image is seen.
    batch : images a step.
    images : training images to use at most, drawn by the seed; 0 for all.
    formats : in which a model that can be set to several is judged too, as "w3a3-channel-sym".

    Raises
    ------
    InputError : if a field has the wrong type or is out of range.
    """

    model: str = "nano-vit"
    data: str = "cifar10_subset"
    epochs: Annotated[int, at.Ge(1)] = 30
    batch: Annotated[int, at.Ge(1)] = 50
    images: Annotated[int, at.Ge(0)] = 0
    formats: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class QuantizeVision:
    """The task: methods answer to ``quantize(model, training)``.

    They edit the model in place, so that it computes with rounded weights and activations, and return an
    `Outcome`: what its layers were replaced by, and figures from the training.
    """

    name: str = "quantize-vision"
    title: str = "quantisation of image classifiers"
    inputs: type[Inputs] = Inputs
    metrics: tuple[Metric, ...] = (
        Metric("accuracy", "accuracy", "higher", "%", digits=1, axis="quality"),
        Metric("bits_per_weight", "bits a weight", "lower", digits=2, axis="cost"),
        Metric("size_mb", "size", "lower", "MB", digits=3, axis="cost"),
        Metric("oscillating", "oscillating", "lower", digits=3),
        Metric("oscillating_at_end", "at the end", "lower", digits=3),
        Metric("kendall_tau", "predictor's tau", "higher", digits=2),
        Metric("kurtosis", "kurtosis", None, digits=2),
    )
    baselines: tuple[str, ...] = ("full-precision-vision", "minmax-vision")

    def open(self, inputs: Inputs) -> QuantizeVisionCase:
        """Load the model and the images once, to see that they can be read and fit each other."""
        case = QuantizeVisionCase(inputs)
        case.check_inputs()
        return case


class QuantizeVisionCase:
    """A classifier and its images, opened and checked."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs

    @cached_property
    def fingerprints(self) -> Mapping[str, str]:
        """Identify the model and the images."""
        from etude.data import images
        from etude.models import fingerprint

        return {
            "model": fingerprint.fingerprint(self.inputs.model),
            "data": images.fingerprint(self.inputs.data),
        }

    @cached_property
    def model(self) -> Any:
        """The model as it was loaded first; not to be edited."""
        from etude import models

        return models.load(self.inputs.model)[0]

    @cached_property
    def prepared(self) -> Any:
        """What is done to pixels before the model sees them."""
        from etude.models import images, loading

        return images.preprocessing(loading.locate(self.inputs.model), self.model)

    def images(self, part: Any) -> Any:
        """One part of the images, their labels being those of the model."""
        from etude.data import images

        found = images.load(self.inputs.data, part, side=self.prepared.side)
        return relabelled(found, self.model.config.label2id, self.inputs.data)

    @cached_property
    def formats(self) -> Mapping[str, Any]:
        """The formats asked for, by name."""
        from etude.compress.quantize_vision.formats import Format

        return {name: Format.named(name) for name in self.inputs.formats}

    def check_inputs(self) -> None:
        """Raise `InputError` if the model is no classifier, or the images or formats cannot be used."""
        if not hasattr(self.model, "classifier") and not hasattr(self.model, "cls_classifier"):
            raise InputError("model", f"{self.inputs.model} is no image classifier")
        self.images("train")
        self.images("test")
        _ = self.formats

    def check(self, method: Any) -> None:
        """Raise `InputError` if ``method`` does not fit the model."""
        if hasattr(method, "check"):
            method.check(self.model)

    def trial(self, seed: int) -> QuantizeVisionTrial:
        """A freshly loaded model and its own draw of training images."""
        import torch

        from etude import models
        from etude.compress.quantize_vision.training import Training

        images = self.images("train")
        if self.inputs.images:
            draw = torch.Generator().manual_seed(seed)
            images = images.some(torch.randperm(len(images), generator=draw)[: self.inputs.images])
        training = Training(images, self.prepared, self.inputs.epochs, self.inputs.batch, seed)
        with seeded(seed):
            return QuantizeVisionTrial(self, models.load(self.inputs.model)[0], training)


class QuantizeVisionTrial:
    """One method on one copy of the model."""

    def __init__(self, case: QuantizeVisionCase, model: Any, training: Any) -> None:
        self.case = case
        self.model = model
        self.training = training
        self.outcome: Outcome | None = None

    def apply(self, method: Any) -> None:
        """Quantise the model."""
        self.outcome = method.quantize(self.model, self.training)

    def score(self) -> Mapping[str, float]:
        """Accuracy on the test images, what the weights take, and what the method saw in training.

        Bits are those of the layers between the first and the last for each weight that these had in full
        precision. A model that can be set to several formats is judged as it is set, and as
        ``accuracy_<format>`` in those of the inputs; ``gain_of_search`` is by how much it is better as it is
        set than with all layers at as many bits, rounded.
        """
        from etude.compress.quantize_vision import judging

        assert self.outcome is not None
        judge = judging.Judge(self.case.model, self.case.images("test"), self.training)
        return {
            **self.outcome.figures,
            **judge.costs(self.model),
            "accuracy": judge.accuracy(self.model),
            **judge.in_formats(self.model, self.case.formats),
        }

    def save(self, folder: Path) -> None:
        """Write the model: stock if it is in full precision, else in the layout of this task.

        Of an elastic model, what it is set to lies by itself in a folder ``subnet``.
        """
        from etude import models
        from etude.compress.quantize_vision import layout
        from etude.compress.quantize_vision.elastic import elastic_layers
        from etude.compress.quantize_vision.extraction import extract

        assert self.outcome is not None
        if self.outcome.plan is None:
            models.save(self.model, None, folder)
            self.case.prepared.write(folder)
            return
        layout.save(self.model, self.outcome, self.case.prepared, folder)
        if elastic_layers(self.model):
            layout.save(*extract(self.model), self.case.prepared, folder / "subnet")


def relabelled(images: Any, label2id: Mapping[str, int], data: str) -> Any:
    """The images with the labels of a model: by name, or where its classes have none, in their order."""
    if set(images.classes) <= set(label2id):
        return images.renumbered([label2id[name] for name in images.classes])
    if len(label2id) == len(images.classes) and all(name.startswith("LABEL_") for name in label2id):
        return images
    strange = next(name for name in images.classes if name not in label2id)
    raise InputError("data", f"{data} has images of {strange!r}, a class that the model does not know")


TASK = QuantizeVision()
