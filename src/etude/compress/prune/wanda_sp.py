"""Wanda for whole heads and channels."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from etude.compress.prune.units import Ratio, cut, equal_counts, lowest_units, measured
from etude.method import method
from etude.models.blocks import Feed


@method("wanda-sp", task="prune")
class WandaSP:
    """Remove heads and channels by weight magnitude times input norm, the same number in every layer.

    An input j of the layer that reads a unit (attention output, MLP down) counts
    ``mean_i |W_ij| * ||X_j||``, where ``X_j`` is that feature over the calibration tokens; a head or
    key-value group counts what its inputs sum to. Nothing is compensated. The result is
    a stock checkpoint; but not without ``stock``, nor if the configuration has no setting for the
    number of heads (OPT, BERT): then its widths are saved beside it, and `etude.models.load` reads it.

    Parameters
    ----------
    ratio : share of the parameters of the blocks to remove, in [0, 1). The same share of heads goes,
        rounded down to whole key-value groups; channels make up the rest.
    stock : leave only a number of heads that the configuration accepts (LLaMA's must divide the hidden
        size), the nearest, so that plain ``from_pretrained`` loads the result.
    feed : what the model is like in front of a layer when its input is measured: "linear" (everything
        before it pruned; one pass), "block" (earlier blocks pruned, its own dense; two passes, as in
        the authors' code) or "dense" (nothing pruned; one pass).

    Raises
    ------
    InputError : if a field is out of range, or the model's blocks cannot be cut.

    Examples
    --------
    >>> import etude
    >>> model, tokenizer = etude.models.load("nano-llama")
    >>> calibration = etude.data.calibration("novels", tokenizer, samples=8, length=128)
    >>> before = sum(parameter.numel() for parameter in model.model.layers.parameters())
    >>> WandaSP(ratio=0.2).prune(model, calibration)
    >>> round(sum(parameter.numel() for parameter in model.model.layers.parameters()) / before, 2)
    0.8

    References
    ----------
    An et al., "Fluctuation-based Adaptive Structured Pruning for Large Language Models", AAAI 2024,
    where it is a baseline; after Sun et al., ICLR 2024. arXiv:2312.11983.
    """

    ratio: Ratio = 0.2
    stock: bool = True
    feed: Feed = "linear"

    def check(self, model: nn.Module) -> None:
        """Raise `InputError` if ``model`` cannot be cut, or not by ``ratio``."""
        equal_counts(model, self.ratio, self.stock)

    def prune(self, model: nn.Module, calibration: Mapping[str, Tensor]) -> None:
        """Prune ``model`` in place, block by block, with inputs measured over ``calibration``."""
        (sites, lost), removed = equal_counts(model, self.ratio, self.stock), {}
        for site, output in measured(model, calibration, sites, feed=self.feed):
            score = output.weight.abs().mean(0) * output.inputs.norm()
            removed[site] = lowest_units(site.per_unit(score).sum(1), lost[site.kind])
            site.mask(removed[site])
        cut(removed)
