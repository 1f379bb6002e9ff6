"""Choose the heads and channels to remove: budgets in parameters, met to within one unit.

The methods of structured pruning differ in how they score units. What they share is here: how many
parameters a ratio means, and which units go, either the lowest of all layers together (`adaptive`)
or the same number in every layer (`uniform_counts`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import annotated_types as at
import numpy as np
import torch
from torch import Tensor, nn

from etude.compress.prune.masks import lowest
from etude.errors import InputError
from etude.models.blocks import Linear, find_blocks, walk
from etude.models.structure import Kind, Site, find_sites, stock_counts

Ratio = Annotated[float, at.Interval(ge=0, lt=1)]
Removed = Mapping[Site, Tensor]
"""Which units of each site go: bool ``[units]``."""
Least = Callable[[Site], int]
"""How many units a site keeps in any case."""


def needed(site: Site) -> int:
    """What a site must keep for the model to work."""
    return site.least


def any_number(lost: int) -> bool:
    """Whether a site may lose so many units: it may."""
    return True


@dataclass(frozen=True)
class Budget:
    """How many parameters are to go.

    Attributes
    ----------
    parameters : the number.
    total : parameters of all blocks.
    new_biases : whether the output of every site that loses units is given a bias, if it has none;
        these parameters are paid for by removing more.
    """

    parameters: float
    total: int
    new_biases: bool = False

    @classmethod
    def of(cls, model: nn.Module, ratio: float, new_biases: bool = False) -> Budget:
        """The share ``ratio`` of all parameters in the model's blocks."""
        total = sum(parameter.numel() for parameter in find_blocks(model)[1].parameters())
        return cls(ratio * total, total, new_biases)

    def fee(self, site: Site) -> int:
        """Parameters that come in with the first unit that a site loses."""
        return len(site.output.weight) if self.new_biases and site.output.bias is None else 0

    def gain(self, site: Site, units: int) -> int:
        """Parameters that go when a site loses so many units."""
        return units * site.cost - self.fee(site) if units else 0

    def less(self, parameters: float) -> Budget:
        """What is left to remove after so many parameters have gone."""
        return replace(self, parameters=self.parameters - parameters)

    def check_groups(self, heads: Sequence[Site], groups: int) -> None:
        """Raise `InputError`, naming ``groups``, if so many of them hold more than the budget."""
        if groups * heads[0].cost > self.parameters + heads[0].cost:
            share = groups * heads[0].cost / self.total
            raise InputError(
                "groups", f"{groups} of them hold {share:.3g} of the parameters, more than ratio asks for"
            )

    def check(self, sites: Sequence[Site], least: Least) -> None:
        """Raise `InputError`, naming ``ratio``, if these sites hold too little to meet the budget."""
        most = sum(self.gain(site, site.units - least(site)) for site in sites)
        if self.parameters > most:
            asked, possible = self.parameters / self.total, most / self.total
            raise InputError("ratio", f"{asked:.3g} is too high: at most {possible:.3g} can be removed here")


def of_kind(kind: Kind, sites: Sequence[Site]) -> list[Site]:
    """The sites of one kind."""
    return [site for site in sites if site.kind == kind]


def measured(
    model: nn.Module, calibration: Mapping[str, Tensor], sites: Sequence[Site], **how: Any
) -> Iterator[tuple[Site, Linear]]:
    """Walk through the model, and stop where the input of a site's output has been measured.

    ``how`` is handed to `etude.models.blocks.walk`: the statistic, and what the model is like in front
    of a layer. While the walk goes on, units may be masked (`Site.mask`) but not cut.
    """
    at = {site.output.module: site for site in sites}
    names = {site.output.name for site in sites}
    for block in walk(model, calibration, only=names.__contains__, **how):
        for linear in block.linears:
            if linear.module in at:
                yield at[linear.module], linear


def adaptive(scores: Mapping[Site, Tensor], budget: Budget, least: Least = needed) -> Removed:
    """Remove the units that score lowest among all sites, until the budget is met as nearly as possible.

    Parameters
    ----------
    scores : importance of every unit, ``[units]``, comparable between sites.
    budget : what is to go. The outcome differs from it by less than the cost of one unit.
    least : how many units a site keeps in any case, its highest.

    Raises
    ------
    InputError : if a score is not finite: the model, or what it computes, is broken.
    """
    sites = list(scores)
    _check_finite(torch.cat(list(scores.values())))
    order = {site: scores[site].argsort(stable=True)[: site.units - least(site)] for site in sites}
    values = torch.cat([scores[site][order[site]] for site in sites])
    owner = np.repeat(np.arange(len(sites)), [len(order[site]) for site in sites])
    sequence = values.argsort(stable=True).numpy()
    gains = np.array([site.cost for site in sites])[owner[sequence]]
    seen, first = np.unique(owner[sequence], return_index=True)
    gains[first] -= np.array([budget.fee(sites[which]) for which in seen], dtype=int)
    totals = np.concatenate([[0], gains.cumsum()])
    count = int(np.abs(totals - budget.parameters).argmin())
    taken = np.bincount(owner[sequence[:count]], minlength=len(sites))
    return {site: _marked(order[site][:number], site) for site, number in zip(sites, taken, strict=True)}


def uniform_counts(
    sites: Sequence[Site],
    budget: Budget,
    groups: int | None = None,
    least: Least = needed,
    is_stock: Callable[[int], bool] = any_number,
) -> Mapping[Kind, int]:
    """How many units every attention, and every MLP, is to lose so that the budget is met.

    Parameters
    ----------
    sites : where units go; of every block, if the widths are to stay the same in all layers.
    budget : what is to go. The outcome differs from it by at most half a channel in every block.
    groups : how many heads (key-value groups) go in each block; None for the budget's share of them,
        rounded down, as in the authors' codes. Channels make up what is missing.
    least : how many units a site keeps in any case.
    is_stock : whether a configuration can express that so many groups are gone; if not for the number
        above, the nearest that it can is taken, rather fewer than more.

    Raises
    ------
    InputError : naming ``ratio`` or ``groups``, if the budget cannot be met.
    """
    heads, channels = of_kind("attention", sites), of_kind("mlp", sites)
    most_heads = min((site.units - least(site) for site in heads), default=0)
    most_channels = min((site.units - least(site) for site in channels), default=0)
    if groups is not None:
        budget.check_groups(heads, groups * len(heads))
        if groups > most_heads:
            raise InputError("groups", f"{groups} a layer is too many: at most {most_heads} can be removed")
    budget.check(sites, lambda site: site.units - (most_heads if site.kind == "attention" else most_channels))
    share = budget.parameters / sum(site.cost * site.units for site in sites)
    wanted = share * min((site.units for site in heads), default=0)
    order = sorted(range(most_heads + 1), key=lambda lost: _distance(lost, wanted))
    order = order if groups is None else [groups]
    counts = {lost: _channels(lost, heads, channels, budget) for lost in order}
    able = [lost for lost in order if counts[lost] <= most_channels]
    if not able:
        raise InputError("groups", f"{groups} a layer is too few: MLPs cannot lose all that is left")
    accepted = [lost for lost in able if is_stock(lost)] if groups is None and able[0] > 0 else []
    # Where keeping all heads is the only stock number, the MLPs would have to pay for everything.
    lost = accepted[0] if any(accepted) else able[0]
    return {"attention": lost, "mlp": counts[lost]}


def _distance(lost: int, wanted: float) -> tuple[bool, float]:
    """Rounded down first; then the nearest, where a head too many is as bad as two too few."""
    return lost != int(wanted), max(wanted - lost, 2 * (lost - wanted))


def _channels(lost: int, heads: Sequence[Site], channels: Sequence[Site], budget: Budget) -> int:
    """How many channels every MLP is to lose when every attention has lost so many units."""
    rest = budget.parameters - sum(budget.gain(site, lost) for site in heads)
    number = round((rest + sum(map(budget.fee, channels))) / sum(site.cost for site in channels))
    return number if rest > 0 else 0


def equal_counts(model: nn.Module, ratio: float, stock: bool = True) -> tuple[list[Site], Mapping[Kind, int]]:
    """The sites of a model, and how many units of each kind go where all layers lose alike.

    With ``stock``, heads are left in a number that the model's configuration accepts.
    """
    sites = find_sites(model)
    is_stock = stock_counts(model, sites) if stock else any_number
    return sites, uniform_counts(sites, Budget.of(model, ratio), is_stock=is_stock)


def lowest_units(scores: Tensor, count: int) -> Tensor:
    """Mark the ``count`` units of lowest score, ``[units]``; among equals the first go first.

    Raises
    ------
    InputError : if a score is not finite: the model, or what it computes, is broken.
    """
    _check_finite(scores)
    return lowest(scores[None], count)[0]


def cut(removed: Removed, means: Mapping[Site, Tensor] | None = None) -> None:
    """Take the units out of the model; with ``means``, fold what they were on average into biases."""
    for site, units in removed.items():
        site.cut(units, None if means is None else means[site])


def _check_finite(scores: Tensor) -> None:
    if not bool(scores.isfinite().all()):
        raise InputError("model", "a weight, or what enters its layer, is not finite; the model is broken")


def _marked(units: Tensor, site: Site) -> Tensor:
    return torch.zeros(site.units, dtype=torch.bool).index_fill_(0, units, True)
