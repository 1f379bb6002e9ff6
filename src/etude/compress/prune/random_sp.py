"""Random pruning of whole heads and channels: the floor under every criterion."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from etude.compress.prune.units import Ratio, cut, equal_counts, lowest_units
from etude.method import method


@method("random-sp", task="prune")
class RandomSP:
    """Remove heads and channels at random, the same number in every layer; a criterion must beat this.

    Draws from torch's generator: seed it (``torch.manual_seed``) for the same result. The result is a
    stock checkpoint wherever that of `WandaSP` is.

    Parameters
    ----------
    ratio : share of the parameters of the blocks to remove, in [0, 1). The same share of heads goes,
        rounded down to whole key-value groups; channels make up the rest.
    stock : leave only a number of heads that the configuration accepts (LLaMA's must divide the hidden
        size), the nearest, so that plain ``from_pretrained`` loads the result.

    Raises
    ------
    InputError : if a field is out of range, or the model's blocks cannot be cut.

    Examples
    --------
    >>> import etude
    >>> model, _ = etude.models.load("nano-llama")
    >>> before = model.num_parameters()
    >>> RandomSP(ratio=0.2).prune(model)
    >>> model.num_parameters() < 0.9 * before
    True
    """

    ratio: Ratio = 0.2
    stock: bool = True

    def check(self, model: nn.Module) -> None:
        """Raise `InputError` if ``model`` cannot be cut, or not by ``ratio``."""
        equal_counts(model, self.ratio, self.stock)

    def prune(self, model: nn.Module, calibration: Mapping[str, Tensor] | None = None) -> None:
        """Prune ``model`` in place; ``calibration`` is not used."""
        sites, lost = equal_counts(model, self.ratio, self.stock)
        cut({site: lowest_units(torch.rand(site.units), lost[site.kind]) for site in sites})
