"""Magnitude pruning: remove the smallest weights."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from etude.compress.prune.masks import Sparsity, Within, check_pattern, check_widths, removal_mask, remove
from etude.method import method
from etude.models.blocks import block_linears


@method("magnitude", task="prune")
class Magnitude:
    """Remove the weights of smallest magnitude; looks at no data.

    Parameters
    ----------
    sparsity : share of the weights of each linear layer to set to zero, in [0, 1).
    pattern : "unstructured", or "n:m" to keep n of every m consecutive inputs.
    within : the group in which weights are compared: the whole "matrix" (classic) or each "row".

    Raises
    ------
    InputError : if a field is out of range, or m does not divide a layer's width.

    Examples
    --------
    >>> import etude
    >>> model, _ = etude.models.load("nano-llama")
    >>> Magnitude(sparsity=0.3).prune(model)
    >>> round(etude.models.sparsity(model), 2)
    0.3

    References
    ----------
    Han et al., "Learning both Weights and Connections for Efficient Neural Networks", NeurIPS 2015.
    """

    sparsity: Sparsity = 0.5
    pattern: str = "unstructured"
    within: Within = "matrix"

    def __post_init__(self) -> None:
        check_pattern(self.sparsity, self.pattern)

    def check(self, model: nn.Module) -> None:
        """Raise `InputError` if the pattern does not fit ``model``."""
        check_widths(block_linears(model), self.pattern)

    def prune(self, model: nn.Module, calibration: Mapping[str, Tensor] | None = None) -> None:
        """Prune ``model`` in place; ``calibration`` is not used."""
        self.check(model)
        for linear in block_linears(model):
            remove(linear, removal_mask(linear.weight.abs(), self.sparsity, self.pattern, self.within))
