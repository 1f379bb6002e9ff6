"""AWQ: enlarge the weights that meet large activations before rounding, and shrink what comes before."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated

import annotated_types as at
import torch
from torch import Tensor, nn

from etude.compress.quantize.activations import Activations, FirstCalls, calls_within
from etude.compress.quantize.folding import Fold, find_activated, find_folds
from etude.compress.quantize.grids import Convention, joined, split
from etude.compress.quantize.quantized import Quantized
from etude.compress.quantize.searches import least_clipping, least_point
from etude.compress.quantize.weights import WeightFormat
from etude.method import method
from etude.models.blocks import Block, Call, Linear, find_blocks, first_tensor, inference, real_tokens, walk
from etude.models.calibration import check_calibration
from etude.models.measure import example

QUERIES_AND_KEYS = re.compile(r"(^|[._])(q|k|query|key|\w*qkv|query_key_value|c_attn)([._]|$)")
"""Linear layers that are not clipped: their products go through a softmax, which magnifies errors."""


@method("awq", task="quantize", paper="awq", beside=("gptq",))
class Awq(WeightFormat):
    """Enlarge the weights that meet large activations before rounding, and shrink what comes before.

    With ``x_j`` the mean magnitude of input ``j``, the weights of every group of linear layers that read
    one input are rounded as ``Q(W diag(s)) diag(s)^-1`` with ``s_j = x_j^a``, normalised to
    ``sqrt(max s min s) = 1``; ``a`` in ``0, 1/points, ...`` is searched for the least change of the
    output of the module that holds them. ``diag(s)^-1`` is folded into the norm or linear layer before; where
    an activation that is not homogeneous lies between (GELU), its outputs are divided as they come, and ``s``
    is stored. Then the range of each group is clipped where that errs less. No gradients, no
    reconstruction, and all inputs are measured in the model as it was.

    Parameters
    ----------
    duo : also divide by the weights' own magnitude, ``s_j = x_j^a / w_j^(1-a)``, as later codes do by
        default; plain rounding is then no longer among the candidates.
    clip : whether to search for clipping.
    points : values of ``a`` there are, and steps of the clipping search from no range to full range.
    stride : try every stride-th ``a`` first and then around the best; 1 to try all, as the paper does.
    judged : tokens, at least, on which the change of the output is measured.
    repeated : whether values that serve several queries (grouped-query attention) are scaled by one
        factor for all of them; not in the paper, which leaves them alone.
    inserted : whether layers behind an activation that is not homogeneous are scaled too. The division is
        held by the formats "etude" and (in the decoded weights) "dense".

    Raises
    ------
    InputError : if a field is out of range, the group does not divide a layer's width, or the
        calibration does not fit the model.

    Examples
    --------
    >>> import etude
    >>> model, tokenizer = etude.models.load("nano-llama")
    >>> calibration = etude.data.calibration("novels", tokenizer, samples=8, length=128)
    >>> stored = Awq(bits=3, group=64).quantize(model, calibration)
    >>> stored["model.layers.0.mlp.up_proj"].codes.max()
    tensor(7, dtype=torch.uint8)

    References
    ----------
    Lin et al., "AWQ: Activation-aware Weight Quantization for LLM Compression and Acceleration", MLSys
    2024, eq. 4-5 and the authors' code. arXiv:2306.00978.
    """

    convention: Convention = "awq"
    duo: bool = False
    clip: bool = True
    points: Annotated[int, at.Interval(ge=1, le=100)] = 20
    stride: Annotated[int, at.Interval(ge=1, le=100)] = 4
    judged: Annotated[int, at.Ge(1)] = 512
    repeated: bool = False
    inserted: bool = True

    def quantize(self, model: nn.Module, calibration: Mapping[str, Tensor]) -> dict[str, Quantized]:
        """Quantise ``model`` in place, block by block, with inputs measured over ``calibration``.

        Returns what is stored, by layer.
        """
        self.check(model)
        check_calibration(model, calibration)
        name, blocks = find_blocks(model)
        calls = FirstCalls(calibration, self.judged)
        stored: dict[str, Quantized] = {}
        folds: list[Fold] | None = None
        with torch.no_grad(), calls.of(blocks):
            for block in walk(model, calibration, measure=self._measure, feed="dense", chunk=calls.chunk):
                call = calls.take(block.module)
                folds = self.folds(block.module, call) if folds is None else folds
                scales = self.scale(block, folds, call, calls.mask)
                divided = {name for fold in folds if fold.source is None for name in fold.consumers}
                for linear in block.linears:
                    quantized = self.nearest(self.clipped(linear, scales.get(linear.name)))
                    if linear.name in divided:
                        quantized = replace(quantized, divisor=scales[linear.name])
                    stored[f"{name}.{block.index}.{linear.name}"] = self.put(linear, quantized)
        return stored

    def folds(self, block: nn.Module, call: Call) -> list[Fold]:
        """The groups of linear layers of a block whose inputs can be scaled, given a call of the block."""
        found = find_folds(block, call)
        activated = find_activated(block, call, found) if self.inserted else []
        return [fold for fold in found if self.repeated or not fold.repeats] + activated

    def divides(self, model: nn.Module) -> bool:
        """Whether inputs of some layers of ``model`` are to be divided as they come."""
        if not self.inserted:
            return False
        tokens, block = example(model, 1, 4, next(model.parameters()).device)[0], find_blocks(model)[1][0]
        calls = FirstCalls(tokens, tokens=1)
        with torch.no_grad(), inference(model), calls.of([block]):
            model(**tokens)
            return any(fold.source is None for fold in self.folds(block, calls.take(block)))

    def scale(
        self, block: Block, folds: Iterable[Fold], call: Call, mask: Tensor | None
    ) -> dict[str, Tensor]:
        """Scale a block, which then computes the same as before; returns the scales of the layers' inputs."""
        inputs = {linear.name: linear.inputs for linear in block.linears}
        trials = Trials(block.module, folds, call, mask)
        found = [(fold, self.best(fold, inputs[fold.consumers[0]].magnitude(), trials)) for fold in folds]
        for fold, scales in found:
            fold.apply(block.module, scales)
        return {name: scales for fold, scales in found for name in fold.consumers}

    def best(self, fold: Fold, magnitude: Tensor, trials: Trials) -> Tensor:
        """The scales ``[in]`` under which rounding changes the output least, of a group of layers."""
        weights = trials.weights(fold)

        def loss(point: int) -> float:
            scales = self.candidate(fold, magnitude, weights, point)
            return trials.loss(fold, [self.round(weight * scales).div_(scales) for weight in weights])

        point = least_point(loss, self.points, self.stride)
        trials.put(fold, weights)
        return self.candidate(fold, magnitude, weights, point)

    def candidate(self, fold: Fold, magnitude: Tensor, weights: list[Tensor], point: int) -> Tensor:
        """The scales ``[in]`` for ``a = point / points``."""
        a = point / self.points
        scales = fold.shared(magnitude).pow(a)
        if self.duo:
            scales = scales / (fold.shared(self._importance(weights)).pow(1 - a) + 1e-4)
        scales = scales.clamp(min=1e-4)
        scales = scales / (scales.max() * scales.min()).sqrt()
        scales = torch.where(scales.isfinite(), scales, 1.0)
        return scales if fold.source is not None else scales.half().float()  # as they are stored

    def clipped(self, linear: Linear, scales: Tensor | None) -> Tensor:
        """The weight of a layer, clipped; ``scales`` are those that its inputs have been divided by."""
        weight = linear.weight
        if not self.clip or QUERIES_AND_KEYS.search(linear.name):
            return weight
        grams = linear.inputs.grams()
        if scales is not None:
            each = scales.reshape(len(grams), -1)
            grams = grams / (each[:, :, None] * each[:, None, :])
        groups = split(weight, "channel" if self.group == "tensor" else self.group)
        threshold = least_clipping(
            self.grid_of(weight), groups, grams, points=self.points, together=self.group == "tensor"
        )
        return joined(groups.clamp(-threshold, threshold), (weight.shape[0], weight.shape[1]))

    def _measure(self, features: int) -> Activations:
        return Activations(features, self.group if isinstance(self.group, int) else features)

    def _importance(self, weights: list[Tensor]) -> Tensor:
        """Mean magnitude of the weights that meet each input, in shares of the largest of their group."""
        groups = split(torch.cat(weights).abs(), self.group)
        shares = groups / (groups.amax(-1, keepdim=True) + 1e-6)
        return shares.reshape(-1, weights[0].shape[1]).mean(0)


class Trials:
    """Parts of a block, each with a call of its own, that run with other weights."""

    def __init__(self, block: nn.Module, folds: Iterable[Fold], call: Call, mask: Tensor | None) -> None:
        self.block = block
        self.mask = mask
        self.calls, self.outputs = calls_within(block, {fold.inspected for fold in folds}, call)

    def weights(self, fold: Fold) -> list[Tensor]:
        """Copies of the weights of a fold's layers, each ``[out, in]``."""
        return [linear.weight.clone() for linear in self._linears(fold)]

    def put(self, fold: Fold, weights: list[Tensor]) -> None:
        """Give a fold's layers these weights."""
        for linear, weight in zip(self._linears(fold), weights, strict=True):
            linear.weight.copy_(weight)

    def loss(self, fold: Fold, weights: list[Tensor]) -> float:
        """Mean squared change of the output if a fold's layers have these weights, which they then keep."""
        self.put(fold, weights)
        args, kwargs = self.calls[fold.inspected]
        output = first_tensor(self.block.get_submodule(fold.inspected)(*args, **kwargs))
        change = output.float() - self.outputs[fold.inspected].float()
        return float(real_tokens(change, self.mask).square().mean())

    def _linears(self, fold: Fold) -> list[Linear]:
        return [Linear(name, self.block.get_submodule(name)) for name in fold.consumers]
