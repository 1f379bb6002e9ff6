"""Quantisation-aware training of a vision transformer, as OFQ does it: for any design of its layers."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Annotated, Any

import annotated_types as at
import torch
from torch import nn

from etude.compress.quantize_vision import training as learning
from etude.compress.quantize_vision import transformer
from etude.compress.quantize_vision.attention import Share
from etude.compress.quantize_vision.layers import starting
from etude.compress.quantize_vision.oscillation import OscillationMonitor
from etude.compress.quantize_vision.training import Schedule, Training
from etude.compress.quantize_vision.transformer import Design, inner_weights
from etude.compress.quantize_vision.weights import Latent

Bits = Annotated[int, at.Interval(ge=2, le=8)]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The fields that quantisation-aware training has.

    Parameters
    ----------
    bits : of a weight in the blocks, 2 to 8; the first layer and the classifier have 8.
    activation_bits : of an activation in the blocks, 2 to 8.
    share : activations with a step of their own: the whole "tensor", or each "token" position, as in the
        authors' code, which ties the model to its number of patches.
    learning_rate : of AdamW, after the warm-up.
    floor : learning rate at the end of the cosine.
    weight_decay : of the weights in full precision.
    distil : weight of the cross-entropy with the probabilities of the model in full precision.
    """

    bits: Bits = 2
    activation_bits: Bits = 2
    share: Share = "tensor"
    learning_rate: Annotated[float, at.Gt(0)] = 5.47e-4
    floor: Annotated[float, at.Gt(0)] = 1e-5
    weight_decay: Annotated[float, at.Ge(0)] = 0.05
    distil: Annotated[float, at.Ge(0)] = 1.0

    def check(self, model: Any) -> None:
        """Raise `InputError` if ``model`` is no vision transformer."""
        transformer.check(model)

    def optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """AdamW; only weights that are rounded decay."""
        rounded = {
            id(parameter)
            for module in model.modules()
            if isinstance(module, Latent)
            for parameter in module.parameters(recurse=False)
        }
        every = [parameter for parameter in model.parameters() if parameter.requires_grad]
        return torch.optim.AdamW(
            [
                {"params": [p for p in every if id(p) in rounded], "weight_decay": self.weight_decay},
                {"params": [p for p in every if id(p) not in rounded], "weight_decay": 0.0},
            ]
        )


class Lesson:
    """One model being trained: its teacher, the batches that are left, and who oscillates.

    Parameters
    ----------
    recipe : how it is trained.
    model : in full precision; its layers are replaced by those of ``design``.
    design : what is put in their place.
    training : what it learns from.
    """

    def __init__(self, recipe: Recipe, model: Any, design: Design, training: Training) -> None:
        recipe.check(model)
        learning.check(model, training)
        teacher = copy.deepcopy(model).eval()
        design.apply(model)
        with starting(model.eval()):
            model(training.calibration())
        self.recipe = recipe
        self.model = model
        self.batches = training.batches(strong=True)
        self.backward = learning.distillation(model, teacher, recipe.distil)

    def train(self, steps: int) -> OscillationMonitor:
        """Warm up for a sixtieth of the steps, then follow a cosine down to the floor."""
        recipe = self.recipe
        rate = Schedule(steps, recipe.learning_rate, recipe.floor, start=1e-6, warm_up=5 / 300)
        monitor = OscillationMonitor(inner_weights(self.model))
        optimizer = recipe.optimizer(self.model)
        learning.fit(self.model, optimizer, self.batches, steps, self.backward, rate, after=monitor.step)
        return monitor
