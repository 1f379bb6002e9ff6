"""LLM-FP4: search format and exponent bias of weights and inputs, and shift the inputs' biases in advance."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Annotated, Literal

import annotated_types as at
import torch
from torch import Tensor, nn

from etude.compress.quantize.activations import FirstCalls
from etude.compress.quantize.float_search import Choice, FloatSearch, formats, rounding
from etude.compress.quantize.folding import Fold, find_folds
from etude.compress.quantize.grids import Floats, Range, Scales
from etude.compress.quantize.product_search import search_products
from etude.compress.quantize.quantized import Quantized
from etude.errors import InputError
from etude.method import method
from etude.models import inputs
from etude.models.blocks import Block, Linear, find_blocks, walk
from etude.models.calibration import check_calibration
from etude.models.products import attentions, open_products
from etude.models.stats import Extremes

Wide = Annotated[int, at.Interval(ge=3, le=8)]


@method("llm-fp4", task="quantize", paper="llm-fp4", beside=("zeroquant", "smoothquant"))
class LlmFp4:
    """Search format and exponent bias of weights and inputs, and shift the inputs' biases in advance.

    A number ``x`` becomes ``v round(x / v)`` with ``v = 2^(p - M - b)``, ``p = max(1, floor(log2|x| + b))``,
    clamped to ``(2 - 2^-M) 2^(2^E - 1 - b)``. The bias ``b`` is real: one for each row of a weight, one for
    the inputs of a layer. Biases and formats (``E + M`` bits) are those under which the layer's output errs
    least over calibration inputs, searched in turns: weights, inputs, formats.

    Features of the inputs differ in size, rows of a weight do not. So input ``j`` gets the bias ``r + k_j``,
    with ``k_j`` a whole number from 0 to ``2^E - 1`` that follows from its largest magnitude. Since
    ``2^-k Q(2^k x)`` is the same, ``2^k_j`` may go into the operator before and ``2^-k_j`` into the
    weights: then all inputs share one scale.

    Parameters
    ----------
    bits : of a weight, 3 to 8, the sign's among them.
    activation_bits : of an input, likewise.
    numbers : format of the weights, such as "e2m1", or "search" for the best of each layer.
    activations : format of the inputs, likewise; or "none" to leave them as they are.
    products : format of what attention multiplies, queries by keys and probabilities by values, of
        ``activation_bits`` too: "none", as in the paper's runs of LLaMA; "search" for those of BERT and ViT.
        Each operand of each layer has a bias of its own, and no shifts.
    shift : what becomes of ``k``: "none", there is none (the paper's baseline); "inputs", each feature is
        rounded under a range of its own, as in the authors' code; "exponents", ``2^-k`` goes into the
        exponents of the rounded weights and ``2^k`` into the operator before, which computes the same;
        "weights", the same, but weights are rounded after they have been multiplied. Where no operator
        can take ``2^k``, and where values serve several queries, it is as with "inputs".
    rounds : of the search.
    stride : try every stride-th factor of a bias first and then around the best; 1 to try all 101.
    judged : tokens, at most, on which the layer's output is compared; products on as many, at least.
    feed : what the model is like in front of a layer when its input is measured: "dense" (nothing quantised,
        as in the authors' runs), "linear" (everything before it quantised).
    scales : how the scale of a row is stored: "float32", "float16", "bfloat16", "power-of-two" or "float8".
        With ``numbers="e2m1", activations="none"`` the last two can be written as MXFP4 and NVFP4.

    Raises
    ------
    InputError : if a field is out of range, a format has another number of bits, shifts are to be folded
        into a model that is measured while it is quantised, products are to be rounded where shifts are
        folded or inputs measured so, attention cannot be opened, or the calibration does not fit the model.

    Examples
    --------
    >>> import etude
    >>> model, tokenizer = etude.models.load("nano-llama")
    >>> calibration = etude.data.calibration("novels", tokenizer, samples=4, length=64)
    >>> stored = LlmFp4(rounds=1, stride=32, judged=64).quantize(model, calibration)
    >>> sorted({layer.grid.name for layer in stored.values()} - {"e1m2", "e2m1", "e3m0"})
    []

    References
    ----------
    Liu et al., "LLM-FP4: 4-Bit Floating-Point Quantized Transformers", EMNLP 2023, and the authors' code.
    arXiv:2310.16836.
    """

    bits: Wide = 4
    activation_bits: Wide = 4
    numbers: str = "search"
    activations: str = "search"
    products: str = "none"
    shift: Literal["none", "inputs", "exponents", "weights"] = "inputs"
    rounds: Annotated[int, at.Ge(1)] = 3
    stride: Annotated[int, at.Interval(ge=1, le=100)] = 8
    judged: Annotated[int, at.Ge(1)] = 2048
    feed: Literal["dense", "linear"] = "dense"
    scales: Scales = "float32"

    def __post_init__(self) -> None:
        _formats("numbers", self.numbers, "bits", self.bits)
        _formats("activations", self.activations, "activation_bits", self.activation_bits)
        _formats("products", self.products, "activation_bits", self.activation_bits)
        folds = self.shift in ("exponents", "weights")
        if self.products != "none" and (folds or self.feed != "dense"):
            raise InputError(
                "products", "are measured before anything changes: with feed dense, shift inputs"
            )
        if self.feed != "dense" and folds:
            raise InputError("feed", f"shift {self.shift} folds into what was measured already; take dense")
        if self.scales == "float8" and folds:
            raise InputError("scales", f"float8 does not reach as far as shift {self.shift} moves a scale")

    def check(self, model: nn.Module) -> None:
        """Raise `InputError` if ``model`` has no blocks, or an attention that would have to be opened."""
        find_blocks(model)
        if self.products != "none":
            attentions(model)

    def quantize(self, model: nn.Module, calibration: Mapping[str, Tensor]) -> dict[str, Quantized]:
        """Quantise ``model`` in place, with the inputs of its layers measured over ``calibration``.

        Returns what is stored of the weights, by layer.
        """
        self.check(model)
        check_calibration(model, calibration)
        name, blocks = find_blocks(model)
        found: dict[str, Quantized] = {}
        if self.products != "none":
            open_products(model, attentions(model))
        calls = FirstCalls(calibration, tokens=1 if self.products == "none" else self.judged)
        with torch.no_grad(), calls.of(blocks):
            measure = _sample(calibration, self.judged)
            for block in walk(model, calibration, measure=measure, feed=self.feed, chunk=calls.chunk):
                stored = self.visit(block, calls)
                found |= {f"{name}.{block.index}.{path}": quantized for path, quantized in stored.items()}
        return found

    def visit(self, block: Block, calls: FirstCalls) -> dict[str, Quantized]:
        """Quantise the layers of a block that were measured; returns what is stored, by name in the block."""
        if self.products != "none":
            self.round_products(block.module, calls)
        folds: Sequence[Fold] = ()
        if self.shift in ("exponents", "weights"):
            folds = [fold for fold in find_folds(block.module, calls.take(block.module)) if not fold.repeats]
        owner = {name: fold for fold in folds for name in fold.consumers}
        stored: dict[str, Quantized] = {}
        for _, group in groupby(block.linears, key=lambda linear: id(owner.get(linear.name, linear))):
            layers = list(group)
            search, fold = self.search(layers), owner.get(layers[0].name)
            weight, given = search.run(self.rounds)
            if fold is None or given is None or given.shift is None:
                stored |= _put(layers, weight)
                _listen(block.module, layers, given)
                continue
            back = torch.ones(len(given.shift)).ldexp(-given.shift)
            if self.shift == "weights":
                fold.apply(block.module, back)
                x = search.rounded_inputs(given) / back
                stored |= _put(layers, search.under(back).best_format(x))
            else:
                found = _put(layers, weight)
                stored |= {name: _shifted(layer, given.shift) for name, layer in found.items()}
                fold.apply(block.module, back)
            if fold.source in stored:
                stored[fold.source] = _magnified(stored[fold.source], fold.rows, back)
            _listen(block.module, layers, Choice(given.grid, (given.scale / back)[0]))
        return stored

    def round_products(self, block: nn.Module, calls: FirstCalls) -> None:
        """Let the attentions of a block, which is as it was, round what they multiply."""
        tried = _formats("products", self.products, "activation_bits", self.activation_bits)
        found = search_products(block, calls.take(block), calls.mask, tried, self.rounds, self.stride)
        inputs.install(block, {name: rounding(choice) for name, choice in found.items()})

    def search(self, layers: Sequence[Linear]) -> FloatSearch:
        """The search for layers that read one input."""
        sample: Sample = layers[0].inputs
        weight = torch.cat([layer.weight for layer in layers])
        numbers = _formats("numbers", self.numbers, "bits", self.bits, self.scales)
        return FloatSearch(
            weight=weight,
            x=sample.kept(),
            peak=sample.peak(),
            weight_formats=[grid.over(weight) for grid in numbers],
            input_formats=_formats("activations", self.activations, "activation_bits", self.activation_bits),
            shifted=self.shift != "none",
            stride=self.stride,
        )


class Sample(Extremes):
    """The extremes of the inputs of a layer, and some of the inputs themselves.

    Parameters
    ----------
    features : of the input.
    every : how many tokens there are to one that is kept.
    """

    def __init__(self, features: int, every: int) -> None:
        super().__init__(features)
        self.every = every
        self._kept: list[Tensor] = []

    def update(self, x: Tensor, segments: int) -> None:
        """Take in ``x``, ``[tokens, features]``, that came from ``segments`` sequences."""
        self._kept.append(x[-self.tokens % self.every :: self.every].clone())
        super().update(x, segments)

    def kept(self) -> Tensor:
        """The inputs that are kept, ``[tokens, features]``."""
        return torch.cat(self._kept)


def _sample(calibration: Mapping[str, Tensor], judged: int) -> Callable[[int], Sample]:
    tokens = next(iter(calibration.values())).shape[:2].numel()
    return lambda features: Sample(features, every=-(-tokens // judged))


def _formats(field: str, name: str, bits_field: str, bits: int, scales: Scales = "float32") -> list[Floats]:
    """The formats that are tried; none for "none"."""
    if name == "search":
        return formats(bits, scales)
    if name == "none" and field != "numbers":
        return []
    try:
        named = Floats.named(name)
    except InputError as error:
        raise InputError(field, error.message) from error
    if named.bits != bits:
        raise InputError(bits_field, f"{name} takes {named.bits}, not {bits}")
    return [dataclasses.replace(named, specials="none", scales=scales)]


def _put(layers: Sequence[Linear], choice: Choice) -> dict[str, Quantized]:
    """Let layers compute with their weights as chosen; returns what is stored of each, by name."""
    stored = {}
    scales = torch.split(choice.scale, [len(layer.weight) for layer in layers])
    for layer, scale in zip(layers, scales, strict=True):
        stored[layer.name] = Quantized.nearest(layer.weight, choice.grid, "channel", Range(scale[..., None]))
        layer.weight.copy_(stored[layer.name].weight())
    return stored


def _listen(block: nn.Module, layers: Sequence[Linear], choice: Choice | None) -> None:
    """Let layers round their inputs as chosen."""
    if choice is not None:
        inputs.install(block, {layer.name: rounding(choice) for layer in layers})


def _shifted(layer: Quantized, shift: Tensor) -> Quantized:
    """A quantised weight times ``2^-shift`` of each column: a scale for every shift that there is."""
    scales = layer.scale.expand(-1, int(shift.max()) + 1)
    return dataclasses.replace(layer, scale=scales.ldexp(-torch.arange(scales.shape[1])), index=shift)


def _magnified(layer: Quantized, rows: Tensor, back: Tensor) -> Quantized:
    """A quantised weight over ``back``, of which each element belongs to one of the rows."""
    divisor = torch.ones(len(layer.codes)).index_put((rows,), back)
    return dataclasses.replace(layer, scale=layer.scale / divisor[:, None])
