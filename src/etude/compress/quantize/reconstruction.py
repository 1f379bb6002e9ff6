"""Reconstruction: train how the weights of a block (or a layer) are rounded until it computes as before.

Blocks are taken in order. What enters a block comes from the quantised ones before it; what must come out is
what the model gave as it was. Only roundings are trained, and only those of one block live at a time.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import annotated_types as at
import torch
from torch import Tensor, nn
from torch.func import functional_call

from etude.compress.quantize.activation_format import ActivationFormat
from etude.compress.quantize.activations import calls_within
from etude.compress.quantize.grids import Range, split
from etude.compress.quantize.learned_inputs import LearnedInputs
from etude.compress.quantize.quantized import Quantized
from etude.compress.quantize.rounding import Rounding
from etude.compress.quantize.weights import Group, IntegerFormat, check_group
from etude.errors import InputError
from etude.models import inputs
from etude.models.beside import Passage, Step, beside
from etude.models.blocks import Call, Linear, find_blocks, first_tensor, is_transposed, linears, real_tokens
from etude.models.calibration import check_calibration
from etude.models.inputs import InputRounding
from etude.progress import track

JUDGED = 4
"""Batches, at most, on which the outcome of the training is compared with its start."""
Rate = Annotated[float, at.Interval(gt=0, le=10)]
Importance = Sequence[Sequence[Tensor]]
"""How much each element of a block's output counts: by block and batch, shaped like the output."""


@dataclass(frozen=True, kw_only=True)
class Reconstruction(IntegerFormat, ActivationFormat, ABC):
    """Quantise by reconstruction; a method says what a `Rounding` of one weight is.

    Parameters
    ----------
    iterations : steps of the optimiser (Adam) for each block or layer; 0 to round as it begins.
    batch : calibration segments of a step. They stay together; which batch comes when is drawn.
    lr : learning rate of what is learned of the weights; falls to 0 along a cosine.
    unit : what is reconstructed at once, a "block" or a "layer".
    drop : probability with which an element of the input is taken from the model as it was instead of the
        quantised one (QDrop's mixing takes 0.5).
    activations : what the inputs of linear layers are rounded to, "int" or a floating-point format; "none"
        leaves them.
    activation_range : what shares a range: a "token", or all that comes at once, the "tensor", both fitted as
        they come; or "static", one range for all, whose step (and zero) is learned with the weights.
    activation_lr : learning rate of static ranges.

    References
    ----------
    Li et al., "BRECQ: Pushing the Limit of Post-Training Quantization by Block Reconstruction", ICLR 2021.
    arXiv:2102.05426 (blocks). Wei et al., "QDrop", ICLR 2022. arXiv:2203.05740 (mixed inputs).
    """

    group: Group = "channel"
    activations: str = "none"
    iterations: Annotated[int, at.Ge(0)] = 5000
    batch: Annotated[int, at.Ge(1)] = 2
    lr: Rate = 1e-3
    unit: Literal["block", "layer"] = "block"
    drop: Annotated[float, at.Interval(ge=0, le=1)] = 0.0
    activation_lr: Rate = 4e-4

    @abstractmethod
    def rounding(self, layer: Linear) -> Rounding:
        """What is learned of a layer's weight."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_activations()
        if self.activations not in ("none", "int") and self.activation_range == "static":
            raise InputError("activations", f"learned steps are of int, not {self.activations}")

    def importance(self, model: nn.Module, calibration: Mapping[str, Tensor]) -> Importance | None:
        """How much each element of each block's output counts; None for all alike."""
        return None

    def check(self, model: nn.Module) -> None:
        """Raise `InputError` if the groups do not fit the layers of ``model``."""
        name, blocks = find_blocks(model)
        check_group(layers(blocks, f"{name}.").values(), self.group)

    def ranges(self, weight: Tensor) -> Range:
        """The ranges that a weight ``[out, in]`` begins with, each tensor ``[out or 1, groups, 1]``."""
        return self.fit(split(weight, self.group))

    def quantize(self, model: nn.Module, calibration: Mapping[str, Tensor]) -> dict[str, Quantized]:
        """Quantise ``model`` in place, block by block, with inputs measured over ``calibration``.

        Returns what is stored, by layer.
        """
        self.check(model)
        check_calibration(model, calibration)
        name, stored = find_blocks(model)[0], {}
        importance = self.importance(model, calibration)
        for step in beside(model, calibration, chunk=self.batch):
            for unit in units(step, self.unit, None if importance is None else importance[step.index]):
                for path, quantized in self.reconstruct(unit).items():
                    stored[f"{name}.{step.index}.{path}"] = self.put(unit.layers[path], quantized)
        return stored

    def reconstruct(self, unit: Unit) -> dict[str, Quantized]:
        """Train the roundings of a unit; if it comes to err more, they are as at the start.

        Returns what is to be stored of each layer. The roundings of inputs are left in front of the layers.
        """
        roundings = {path: self.rounding(layer) for path, layer in unit.layers.items()}
        with self._rounded_inputs(unit) as learned:
            if self.iterations:
                self._train(
                    unit, roundings, [part for each in learned.values() for part in each.parameters()]
                )
        for path, each in learned.items():
            inputs.install(unit.layers[path].module, {"": each.hardened()})
        return {path: rounding.quantized() for path, rounding in roundings.items()}

    @contextmanager
    def _rounded_inputs(self, unit: Unit) -> Iterator[dict[str, LearnedInputs]]:
        """Round what enters the layers; with what is to be learned, which is off again at the end."""
        learned: dict[str, LearnedInputs] = {}
        with ExitStack() as stack:
            if self.activations != "none" and self.activation_range != "static":
                rounding = InputRounding(self.activation_numbers, self.activation_range)
                for layer in unit.layers.values():
                    inputs.install(layer.module, {"": rounding})
            elif self.activations != "none":
                entering = unit.inputs().items()
                learned = {path: LearnedInputs(self.activation_numbers, x) for path, x in entering}
                for path, each in learned.items():
                    module = unit.layers[path].module
                    stack.callback(module.register_forward_pre_hook(each).remove)
            yield learned

    def _train(self, unit: Unit, roundings: Mapping[str, Rounding], of_inputs: Sequence[Tensor]) -> None:
        of_weights = [part for rounding in roundings.values() for part in rounding.parameters()]
        parameters = [*of_weights, *of_inputs]
        start, lost = [part.detach().clone() for part in parameters], unit.lost(roundings)
        rates = [{"params": of_weights, "lr": self.lr}, {"params": [*of_inputs], "lr": self.activation_lr}]
        optimiser = torch.optim.Adam([group for group in rates if group["params"]], fused=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.iterations)
        batches = shuffled(len(unit.passages), self.iterations)
        for iteration, index in enumerate(track(batches, "iterations", total=self.iterations)):
            with torch.enable_grad():
                loss = unit.loss(index, {path: each.weight() for path, each in roundings.items()}, self.drop)
                for rounding in roundings.values():
                    penalty = rounding.penalty(iteration / self.iterations)
                    loss = loss if penalty is None else loss + penalty
            for part, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                part.grad = gradient
            optimiser.step()
            schedule.step()
        if not unit.lost(roundings) <= lost:
            for part, before in zip(parameters, start, strict=True):
                part.detach().copy_(before)


@dataclass(frozen=True)
class Unit:
    """A module whose layers are quantised together.

    Attributes
    ----------
    module : a block, or a layer.
    layers : the layers by their name in the block.
    names : their parameters' names in the module, by the same.
    passages : what enters it, and what must come out, in batches.
    weights : how much each element of each target counts; None for all alike.
    """

    module: nn.Module
    layers: Mapping[str, Linear]
    names: Mapping[str, str]
    passages: Sequence[Passage]
    weights: Sequence[Tensor] | None = None

    def loss(self, index: int, weights: Mapping[str, Tensor], drop: float = 0.0) -> Tensor:
        """Squared error of the output of a batch, summed over features and averaged over tokens.

        Parameters
        ----------
        index : of the batch.
        weights : ``[out, in]`` for each layer.
        drop : probability with which an element of the input comes from the model as it was.
        """
        passage = self.passages[index]
        args, kwargs = mixed(passage.call, passage.dense, drop) if drop else passage.call
        own = {self.names[path]: _shaped(self.layers[path], weight) for path, weight in weights.items()}
        error = first_tensor(functional_call(self.module, own, args, kwargs)) - passage.target
        squares = error.square() if self.weights is None else error.square() * self.weights[index]
        return real_tokens(squares, passage.mask).sum(1).mean()

    def inputs(self) -> dict[str, Tensor]:
        """What enters each layer in the first batch."""
        if self.module in {layer.module for layer in self.layers.values()}:
            return {path: self.passages[0].call[0][0] for path in self.layers}
        calls, _ = _calls(self.module, self.layers, self.passages[0].call)
        return {path: args[0] for path, (args, _) in calls.items()}

    @torch.no_grad()
    def lost(self, roundings: Mapping[str, Rounding]) -> float:
        """The mean loss over a few batches with what would be stored of the layers."""
        weights = {path: rounding.quantized().base() for path, rounding in roundings.items()}
        judged = range(0, len(self.passages), -(-len(self.passages) // JUDGED))
        return sum(float(self.loss(index, weights)) for index in judged) / len(judged)


def units(
    step: Step, kind: Literal["block", "layer"], weights: Sequence[Tensor] | None = None
) -> Iterator[Unit]:
    """A block as one unit, or its layers in the order of their calls, each fed by those before it."""
    found = layers(step.module)
    if kind == "block":
        yield Unit(step.module, found, {path: f"{path}.weight" for path in found}, step.passages, weights)
        return
    dense = copy.deepcopy(step.module)
    for path in _calls(dense, found, step.passages[0].dense)[0]:
        passages = [_inside(step.module, dense, path, passage) for passage in step.passages]
        yield Unit(found[path].module, {path: found[path]}, {path: "weight"}, passages)


def _inside(block: nn.Module, dense: nn.Module, path: str, passage: Passage) -> Passage:
    """The passage of a batch through one layer of a block."""
    calls, _ = _calls(block, [path], passage.call)
    dense_calls, targets = _calls(dense, [path], passage.dense)
    return Passage(calls[path], dense_calls[path], targets[path], passage.mask)


@torch.no_grad()
def _calls(block: nn.Module, paths: Any, call: Call) -> tuple[dict[str, Call], dict[str, Tensor]]:
    return calls_within(block, paths, call)


class Convolution(Linear):
    """A convolution as the linear layer that it is of each patch, ``[out, channels * height * width]``."""

    @property
    def weight(self) -> Tensor:
        """The weight as a matrix; a view."""
        weight: Tensor = self.module.weight.detach()  # type: ignore[operator]
        return weight.flatten(1)

    @property
    def kernel(self) -> int:
        """Weights of one input channel."""
        return self.weight.shape[1] // int(self.module.weight.shape[1])  # type: ignore[index]


def layers(module: nn.Module, prefix: str = "") -> dict[str, Linear]:
    """The linear layers and two-dimensional convolutions inside ``module``, by dotted name."""
    kinds = {path: Linear for path in linears(module)}
    kinds |= {path: Convolution for path, child in module.named_modules() if isinstance(child, nn.Conv2d)}
    return {path: kind(f"{prefix}{path}", module.get_submodule(path)) for path, kind in kinds.items()}


def _shaped(layer: Linear, weight: Tensor) -> Tensor:
    """A weight ``[out, in]`` as the layer's module holds it."""
    own: Any = layer.module.weight
    if isinstance(layer, Convolution):
        return weight.view_as(own)
    return weight.T if is_transposed(layer.module) else weight


def shuffled(count: int, iterations: int) -> Iterator[int]:
    """Indices of ``count`` batches, all of them once in every round, in an order drawn anew."""
    while iterations > 0:
        yield from torch.randperm(count)[:iterations].tolist()
        iterations -= count


def mixed(call: Call, dense: Call, drop: float) -> Call:
    """A call whose hidden states come, element by element, from the dense call with probability ``drop``."""
    (args, kwargs), (other, others) = call, dense
    if args:
        return (_mix(args[0], other[0], drop), *args[1:]), kwargs
    first = next(iter(kwargs))
    return args, kwargs | {first: _mix(kwargs[first], others[first], drop)}


def _mix(x: Tensor, dense: Tensor, drop: float) -> Tensor:
    return torch.where(torch.rand_like(x) < drop, dense, x)
