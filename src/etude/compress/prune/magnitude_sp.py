"""Magnitude pruning of whole heads and channels."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from etude.compress.prune.units import Ratio, cut, equal_counts, lowest_units
from etude.method import method


@method("magnitude-sp", task="prune")
class MagnitudeSP:
    """Remove the heads and channels whose outgoing weights are smallest; looks at no data.

    A channel counts the norm of its column in the layer that reads it, ``||W_:,j||_2``; a head or
    key-value group counts the sum over its columns. Every layer loses the same number, so that the
    result is a stock checkpoint wherever that of `WandaSP` is.

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
    >>> MagnitudeSP(ratio=0.2).prune(model)
    >>> model.num_parameters() < 0.9 * before
    True

    References
    ----------
    Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017; as a baseline in An et al.,
    AAAI 2024. arXiv:2312.11983.
    """

    ratio: Ratio = 0.2
    stock: bool = True

    def check(self, model: nn.Module) -> None:
        """Raise `InputError` if ``model`` cannot be cut, or not by ``ratio``."""
        equal_counts(model, self.ratio, self.stock)

    def prune(self, model: nn.Module, calibration: Mapping[str, Tensor] | None = None) -> None:
        """Prune ``model`` in place; ``calibration`` is not used."""
        sites, lost = equal_counts(model, self.ratio, self.stock)
        scores = {site: site.per_unit(site.output.weight.norm(dim=0)).sum(1) for site in sites}
        cut({site: lowest_units(score, lost[site.kind]) for site, score in scores.items()})
