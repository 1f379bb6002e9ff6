"""Training with quantisers in place: images in batches, a schedule, a teacher."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from etude.data import augment
from etude.data.images import Images
from etude.errors import InputError
from etude.models.images import Preprocessing
from etude.progress import track

CALIBRATION = 256
"""Images from which steps and ranges start."""


@dataclass(frozen=True, eq=False)
class Training:
    """Labelled images, and how long they are learned from.

    Parameters
    ----------
    images : to train on.
    prepared : makes of their pixels what the model takes.
    epochs : times that each image is seen.
    batch : images a step.
    seed : of the order and the augmentation: equal seeds, equal batches.
    """

    images: Images
    prepared: Preprocessing
    epochs: int
    batch: int = 50
    seed: int = 0

    @property
    def steps(self) -> int:
        """Batches in all."""
        return self.epochs * math.ceil(len(self.images) / self.batch)

    def batches(self, *, strong: bool) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs of the model and labels, augmented: moved and mirrored; if ``strong``, as DeiT does too."""
        draw = torch.Generator().manual_seed(self.seed)
        for _ in range(self.epochs):
            order = torch.randperm(len(self.images), generator=draw)
            for at in order.split(self.batch):  # type: ignore[no-untyped-call]
                pixels = augment.crop_and_flip(self.images.pixels[at].float(), draw)
                if strong:
                    pixels = augment.erase(augment.rand_augment(pixels, draw), draw)
                yield self.prepared(pixels), self.images.labels[at]

    def calibration(self) -> Tensor:
        """Inputs of `CALIBRATION` images as they are, the same for one seed."""
        draw = torch.Generator().manual_seed(self.seed)
        at = torch.randperm(len(self.images), generator=draw)[:CALIBRATION]
        return self.prepared(self.images.pixels[at])


def check(model: Any, training: Any) -> None:
    """Raise `InputError` if ``training`` is not what ``model`` can learn from."""
    if not isinstance(training, Training):
        raise InputError("training", f"is a {type(training).__name__}, not a Training")
    images, classes = training.images, model.config.num_labels
    pixels, labels = images.pixels, images.labels
    side = model.config.image_size
    if pixels.dtype != torch.uint8 or pixels.ndim != 4 or pixels.shape[1] != 3:
        raise InputError("training", "its pixels must be uint8 [images, 3, height, width]")
    if not len(labels) or labels.shape != pixels.shape[:1]:
        raise InputError("training", f"has {len(pixels)} images and {len(labels)} labels")
    if isinstance(side, int) and pixels.shape[2:] != (side, side):
        raise InputError(
            "training", f"its images are {tuple(pixels.shape[2:])} pixels, the model takes {side}"
        )
    if labels.is_floating_point() or int(labels.min()) < 0 or int(labels.max()) >= classes:
        raise InputError("training", f"its labels must be whole numbers from 0 to {classes - 1}")
    if training.epochs < 1 or training.batch < 1:
        raise InputError("training", "epochs and batch must be at least 1")


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up and a cosine.

    Parameters
    ----------
    steps : in all.
    peak : learning rate after the warm-up.
    floor : learning rate at the end.
    start : learning rate at the first step.
    warm_up : share of the steps.
    """

    steps: int
    peak: float
    floor: float = 0.0
    start: float = 0.0
    warm_up: float = 0.0

    def __call__(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        warm = round(self.warm_up * self.steps)
        if step < warm:
            return self.start + (self.peak - self.start) * step / warm
        progress = (step - warm) / max(1, self.steps - warm)
        return self.floor + (self.peak - self.floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def fit(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterator[tuple[Tensor, Tensor]],
    steps: int,
    backward: Callable[[Tensor, Tensor], None],
    rate: Callable[[int], float],
    *,
    before: Callable[[], None] = lambda: None,
    after: Callable[[], None] = lambda: None,
) -> None:
    """Take so many steps; ``backward`` leaves gradients, ``before`` and ``after`` stand around each step."""
    model.train()
    for step in track(range(steps), "training"):
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        optimizer.zero_grad(set_to_none=True)
        backward(*next(batches))
        before()
        optimizer.step()
        after()
    model.eval()


def distillation(model: Any, teacher: Any, weight: float) -> Callable[[Tensor, Tensor], None]:
    """Backward pass of ``cross-entropy(labels) + weight * cross-entropy(teacher's probabilities)``.

    A DeiT has a head for each of the two; where there is one head it takes both.
    """

    def backward(inputs: Tensor, labels: Tensor) -> None:
        output = model(inputs)
        hard = output.get("cls_logits", output.logits)
        loss = F.cross_entropy(hard, labels)
        if weight:
            with torch.no_grad():
                target = teacher(inputs).logits.softmax(-1)
            soft = output.get("distillation_logits", output.logits)
            loss = loss + weight * F.cross_entropy(soft, target)
        loss.backward()  # type: ignore[no-untyped-call]

    return backward


def accuracy(model: Any, images: Images, prepared: Preprocessing) -> float:
    """Share of images whose class is predicted, in percent."""
    with torch.inference_mode():
        parts = images.pixels.split(250)  # type: ignore[no-untyped-call]
        guesses = [model(prepared(pixels)).logits.argmax(-1) for pixels in parts]
    return 100 * float((torch.cat(guesses) == images.labels).float().mean())
