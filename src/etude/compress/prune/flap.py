"""FLAP: remove the heads and channels whose activations fluctuate least."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Literal

import annotated_types as at
import torch
from torch import Tensor, nn

from etude.compress.prune.units import (
    Budget,
    Ratio,
    Removed,
    adaptive,
    any_number,
    cut,
    lowest_units,
    measured,
    of_kind,
    uniform_counts,
)
from etude.errors import InputError
from etude.method import method
from etude.models.blocks import Linear
from etude.models.stats import Moments
from etude.models.structure import Site, find_sites, stock_counts

Metric = Literal["WIFV", "IFV", "WIFN"]
Structure = Literal["AL-AM", "AL-MM", "UL-MM", "UL-UM"]

METRICS: Mapping[Metric, Callable[[Tensor, Moments], Tensor]] = {
    "WIFV": lambda weight, inputs: inputs.variance(unbiased=True) * weight.square().sum(0),
    "IFV": lambda weight, inputs: inputs.variance(unbiased=True),
    "WIFN": lambda weight, inputs: inputs.norm() * weight.abs().mean(0),
}
"""What an input of a layer counts, given the layer's weight ``[out, in]``."""


@method("flap", task="prune", paper="flap", beside=("magnitude-sp", "wanda-sp"))
class FLAP:
    """Remove the heads and channels whose activations fluctuate least, and put their means into biases.

    An input j of the layer that reads a unit (attention output, MLP down) counts
    ``Var_j * ||W_:,j||_2^2``: the mean squared error of the layer's output if j is replaced by its mean
    over the calibration tokens. Scores are standardised in every layer and kind of module, those of a
    head (a key-value group, where heads share keys) are averaged, and the units that score lowest
    among all layers go. ``W_:,j * mean_j`` of what goes is added to the layer's bias. One pass over
    the dense model measures everything; no kept weight is changed.

    Layers come to differ in width: the result is saved with its widths beside it, and
    `etude.models.load` reads it. With ``structure="UL-UM"`` all layers lose the same, and the result is a
    stock checkpoint for plain ``from_pretrained`` if the configuration has settings for the number of
    heads (not OPT's or BERT's) and for biases (LLaMA's; not Mistral's or Qwen's, unless ``bias`` is off).

    Parameters
    ----------
    ratio : share of the parameters of the blocks to remove, in [0, 1); met to within one unit, with
        the new biases counted.
    metric : "WIFV" (above), "IFV" (``Var_j`` alone), or "WIFN" (Wanda's ``mean_i |W_ij| * ||X_j||``).
    structure : where units go: "AL-AM" (adaptive over layers and modules: the lowest of all), "AL-MM"
        (adaptive over layers; ``groups`` heads, the rest channels), "UL-MM" (the same in every layer;
        ``groups`` heads), or "UL-UM" (the same share in every layer, in heads rounded down).
    stock : for "UL-UM", leave only a number of heads that the configuration accepts (LLaMA's must divide
        the hidden size), the nearest, so that plain ``from_pretrained`` loads the result.
    groups : for the two MM structures, heads (key-value groups) to remove in all layers together;
        None for ``ratio`` of them.
    square_attn : square the scores of attention before they are standardised, as the authors' code does.
    bias : fold the mean of what is removed into biases.
    min_groups : heads (key-value groups) that every layer keeps. With 0 a layer may lose them all, as in
        the authors' code; the first layer keeps one even so, because generation needs it, and every
        layer does where the architecture needs it. Kernels of other libraries may need 1.

    Raises
    ------
    InputError : if a field is out of range, ``ratio`` or ``groups`` asks for more than can be removed,
        or the model's blocks cannot be cut.

    Examples
    --------
    >>> import etude
    >>> model, tokenizer = etude.models.load("nano-llama")
    >>> calibration = etude.data.calibration("novels", tokenizer, samples=8, length=128)
    >>> before = model.num_parameters()
    >>> FLAP(ratio=0.2).prune(model, calibration)
    >>> model.num_parameters() < 0.9 * before
    True

    References
    ----------
    An et al., "Fluctuation-based Adaptive Structured Pruning for Large Language Models", AAAI 2024.
    arXiv:2312.11983.
    """

    ratio: Ratio = 0.2
    metric: Metric = "WIFV"
    structure: Structure = "AL-AM"
    stock: bool = True
    groups: Annotated[int | None, at.Ge(0)] = None
    square_attn: bool = True
    bias: bool = True
    min_groups: Annotated[int, at.Ge(0)] = 0

    def __post_init__(self) -> None:
        if self.groups is not None and not self.structure.endswith("MM"):
            raise InputError("groups", f'is for the structures "AL-MM" and "UL-MM", not {self.structure}')

    def check(self, model: nn.Module) -> None:
        """Raise `InputError` if ``model`` cannot be cut, or not by so much."""
        self._rehearse(find_sites(model), model)

    def prune(self, model: nn.Module, calibration: Mapping[str, Tensor]) -> None:
        """Prune ``model`` in place, with activations measured over ``calibration``."""
        sites, scores, means = find_sites(model), {}, {}
        self._rehearse(sites, model)
        for site, output in measured(model, calibration, sites, measure=Moments, feed="dense"):
            scores[site] = self.score(site, output)
            means[site] = output.inputs.mean()
        cut(self.choose(scores, model), means if self.bias else None)

    def score(self, site: Site, output: Linear) -> Tensor:
        """What each unit of a site counts, ``[units]``, from what its output reads."""
        score = METRICS[self.metric](output.weight, output.inputs)
        if self.square_attn and site.kind == "attention":
            score = score.square()
        return site.per_unit(standardise(score)).mean(1)

    def choose(self, scores: Mapping[Site, Tensor], model: nn.Module) -> Removed:
        """The units to remove."""
        sites, budget = list(scores), Budget.of(model, self.ratio, new_biases=self.bias)
        heads, channels = of_kind("attention", sites), of_kind("mlp", sites)
        if self.structure.startswith("UL"):
            groups = self._groups_of_a_layer(heads)
            is_stock = stock_counts(model, sites) if self.stock and groups is None else any_number
            lost = uniform_counts(sites, budget, groups, self._least, is_stock)
            return {site: lowest_units(scores[site], lost[site.kind]) for site in sites}
        budget.check(sites, self._least)
        if self.structure == "AL-AM":
            return adaptive(scores, budget, self._least)
        removed = adaptive({site: scores[site] for site in heads}, self._share_of(heads, budget), self._least)
        rest = budget.less(sum(budget.gain(site, int(units.sum())) for site, units in removed.items()))
        rest.check(channels, self._least)
        return {**removed, **adaptive({site: scores[site] for site in channels}, rest, self._least)}

    def _rehearse(self, sites: list[Site], model: nn.Module) -> None:
        """Choose by any scores: what cannot be met is found before activations are measured."""
        self.choose({site: torch.zeros(site.units) for site in sites}, model)

    def _least(self, site: Site) -> int:
        wanted = self.min_groups if site.kind == "attention" else 0
        return min(site.units, max(site.least, wanted))

    def _groups_of_a_layer(self, heads: list[Site]) -> int | None:
        if self.structure == "UL-UM":
            return None
        groups = self._groups(heads)
        if self.groups is not None and groups % len(heads):
            raise InputError("groups", f"{groups} cannot be divided equally among {len(heads)} layers")
        return groups // len(heads)

    def _groups(self, heads: list[Site]) -> int:
        return int(self.ratio * sum(site.units for site in heads)) if self.groups is None else self.groups

    def _share_of(self, heads: list[Site], budget: Budget) -> Budget:
        """What ``groups`` of the heads, or ``ratio`` of them, weigh."""
        most, groups = sum(site.units - self._least(site) for site in heads), self._groups(heads)
        if groups > most:
            raise InputError("groups", f"{groups} are too many: at most {most} can be removed")
        if self.groups is not None:
            budget.check_groups(heads, groups)
        return Budget(groups * heads[0].cost, budget.total)


def standardise(score: Tensor) -> Tensor:
    """``(score - mean) / std`` over all entries, with the unbiased deviation; zeros if all are equal."""
    if bool((score == score[0]).all()):
        return torch.zeros_like(score)
    return (score - score.mean()) / score.std()
