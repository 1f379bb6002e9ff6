"""LLM-Pruner: remove coupled structures by a Taylor expansion of the loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Literal

import annotated_types as at
import torch
from torch import Tensor, nn

from etude.compress.prune.units import Budget, Ratio, cut, equal_counts, lowest_units, uniform_counts
from etude.method import method
from etude.models.backwards import walk_back
from etude.models.blocks import Linear
from etude.models.calibration import check_calibration
from etude.models.likelihood import check_causal
from etude.models.structure import Kind, Site, find_sites

Taylor = Literal["vectorize", "param_first", "param_second", "param_mix"]
Reduction = Literal["sum", "mean", "max", "prod", "first"]

SALIENCES: Mapping[Taylor, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "vectorize": lambda w, g, f: w * g,
    "param_first": lambda w, g, f: (w * g).abs(),
    "param_second": lambda w, g, f: (w * w * f).abs(),
    "param_mix": lambda w, g, f: (w * g - 0.5 * w * w * f).abs(),
}
"""What a weight w counts, with g the mean and f the mean square of its gradient over the samples."""

REDUCTIONS: Mapping[Reduction, Callable[[Tensor], Tensor]] = {
    "sum": lambda x: x.sum(0),
    "mean": lambda x: x.mean(0),
    "max": lambda x: x.amax(0),
    "prod": lambda x: x.prod(0),
    "first": lambda x: x[0],
}


@method("llm-pruner", task="prune")
class LLMPruner:
    """Remove heads and channels whose loss would change the loss least, to first or second order.

    Coupled weights stand and fall together: the rows of query, key and value and the columns of the
    output projection that make a head; the rows of gate and up and the column of down that make a
    channel. Each of these layers gives every channel a salience from its weights and their gradients,
    the saliences are reduced over the coupled layers, and those of a head are summed. Layers lose
    equal numbers, except that the first and last ones, which matter most, are kept whole: the authors
    prune layers 4 to 29 of 32, counted from 0, so here the first eighth and the last sixteenth are
    kept, rounded up; a model of fewer than four layers is pruned throughout. Nothing is retrained.

    Parameters
    ----------
    ratio : share of the parameters of all blocks to remove, in [0, 1). What the kept layers do not
        give, the others do.
    taylor : the salience of a channel: "param_mix" sums ``|w g - w^2 f / 2|`` over its weights,
        "param_first" ``|w g|``, "param_second" ``w^2 f``, and "vectorize" takes ``|sum w g|``; g is the
        gradient of the loss, f the mean over samples of its square.
    reduction : how the saliences of coupled layers become one.
    gradient_samples : segments of the calibration that gradients are taken over, at most.
    uniform : prune all layers alike, heads to the nearest number that the configuration accepts, so
        that the result is a stock checkpoint wherever that of `WandaSP` is. Else widths differ between
        layers, and `etude.models.load` reads what `etude.models.save` writes.

    Raises
    ------
    InputError : if a field is out of range, the model predicts no next token, or its blocks cannot be
        cut.

    Examples
    --------
    >>> import etude
    >>> model, tokenizer = etude.models.load("nano-llama")
    >>> calibration = etude.data.calibration("novels", tokenizer, samples=8, length=64)
    >>> before = model.num_parameters()
    >>> LLMPruner(ratio=0.2).prune(model, calibration)
    >>> model.num_parameters() < 0.9 * before
    True

    References
    ----------
    Ma et al., "LLM-Pruner: On the Structural Pruning of Large Language Models", NeurIPS 2023.
    arXiv:2305.11627.
    """

    ratio: Ratio = 0.2
    taylor: Taylor = "param_mix"
    reduction: Reduction = "sum"
    gradient_samples: Annotated[int, at.Ge(1)] = 10
    uniform: bool = False

    def check(self, model: nn.Module) -> None:
        """Raise `InputError` if ``model`` cannot be cut, or not by ``ratio``."""
        check_causal(model)
        self._counts(model)

    def prune(self, model: nn.Module, calibration: Mapping[str, Tensor]) -> None:
        """Prune ``model`` in place, by gradients over the first segments of ``calibration``."""
        check_calibration(model, calibration, predicts=True)
        sites, lost = self._counts(model)
        samples = {name: values[: self.gradient_samples] for name, values in calibration.items()}
        squares = self.taylor in ("param_second", "param_mix")
        removed = {
            site: lowest_units(self.importance(site, gradients), lost[site.kind])
            for site, gradients in mean_gradients(model, samples, sites, squares)
        }
        cut({site: removed[site] for site in sites})

    def importance(self, site: Site, gradients: Mapping[nn.Module, Gradients]) -> Tensor:
        """What each unit of a site counts, ``[units]``, given the gradients of the site's layers."""
        saliences = [
            (SALIENCES[self.taylor](layer.weight, *gradients[layer.module]), axis)
            for layers, axis in ((site.sources, 1), ((site.output,), 0))
            for layer in layers
        ]
        channels = [salience.sum(axis).abs() for salience, axis in saliences]
        narrowest = min(len(channel) for channel in channels) // site.units
        # With shared keys, a query head's channel counts with the key channel that it meets.
        coupled = [channel.reshape(site.units, -1, narrowest).sum(1) for channel in channels]
        return REDUCTIONS[self.reduction](torch.stack(coupled)).sum(1)

    def _counts(self, model: nn.Module) -> tuple[list[Site], Mapping[Kind, int]]:
        """The sites that are pruned, and how many units each kind loses."""
        if self.uniform:
            return equal_counts(model, self.ratio)
        sites = find_sites(model)
        blocks = 1 + max(site.block for site in sites)
        first, last = (math.ceil(blocks / 8), math.ceil(blocks / 16)) if blocks > 3 else (0, 0)
        middle = [site for site in sites if first <= site.block < blocks - last]
        return middle, uniform_counts(middle, Budget.of(model, self.ratio))


Gradients = tuple[Tensor, Tensor]
"""Of a weight: the mean over samples of its gradient, and of the gradient's square (empty if not wanted)."""


def mean_gradients(
    model: nn.Module, samples: Mapping[str, Tensor], sites: Sequence[Site], squares: bool
) -> Iterator[tuple[Site, Mapping[nn.Module, Gradients]]]:
    """Means over samples of the gradients of the loss for the layers of each site, from the last block on."""
    means: dict[nn.Module, Gradients] = {}
    wanted = {layer.module for site in sites for layer in (*site.sources, site.output)}
    share = 1 / len(next(iter(samples.values())))

    def add(linear: Linear, gradient: Tensor) -> None:
        if linear.module not in wanted:
            return
        if linear.module not in means:
            means[linear.module] = (
                torch.zeros(gradient.shape),
                torch.zeros(gradient.shape if squares else 0),
            )
        mean, square = means[linear.module]
        mean.add_(gradient, alpha=share)
        if squares:
            square.addcmul_(gradient, gradient, value=share)

    first = min(site.block for site in sites)
    for block in walk_back(model, samples, add):
        for site in sites:
            if site.block == block.index:
                yield site, means
        means.clear()
        if block.index == first:
            return  # nothing is removed from the blocks before
