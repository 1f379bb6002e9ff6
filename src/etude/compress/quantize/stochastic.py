"""Stochastic rounding: up or down by lot, so that every weight is right on average."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from etude.compress.quantize.grids import split
from etude.compress.quantize.quantized import Quantized
from etude.compress.quantize.rounding import Steps, stochastic
from etude.compress.quantize.weights import IntegerFormat
from etude.method import method
from etude.models.blocks import block_linears
from etude.progress import track


@method("stochastic", task="quantize")
class Stochastic(IntegerFormat):
    """Round every weight up with the probability of its fraction, else down; looks at no data.

    Each weight is right on average, and the errors of a row do not add up, but single errors are larger
    than those of rounding to nearest. AdaRound's authors draw many to show that some are much better.

    Raises
    ------
    InputError : if a field is out of range, or the group does not divide a layer's width.

    Examples
    --------
    >>> import etude
    >>> model, _ = etude.models.load("nano-llama")
    >>> stored = Stochastic(bits=4, group=64).quantize(model)
    >>> len(stored)
    35

    References
    ----------
    Gupta et al., "Deep Learning with Limited Numerical Precision", ICML 2015. arXiv:1502.02551.
    """

    def quantize(
        self, model: nn.Module, calibration: Mapping[str, Tensor] | None = None
    ) -> dict[str, Quantized]:
        """Quantise ``model`` in place; ``calibration`` is not used. Returns what is stored, by layer."""
        self.check(model)
        stored = {}
        for linear in track(block_linears(model), "layers"):
            within = self.fit(split(linear.weight, self.group))
            steps = Steps(linear.weight, self.grid, self.group, within, learned=False)
            stored[linear.name] = self.put(linear, steps.quantized(stochastic(steps.exact())))
        return stored
