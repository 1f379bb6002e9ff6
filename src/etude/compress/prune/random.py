"""Random pruning: the floor under every criterion."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from etude.compress.prune.masks import Sparsity, check_pattern, check_widths, removal_mask, remove
from etude.method import method
from etude.models.blocks import block_linears


@method("random", task="prune")
class Random:
    """Remove weights at random, the same share of every row; a criterion must beat this.

    Draws from torch's generator: seed it (``torch.manual_seed``) for the same result.

    Parameters
    ----------
    sparsity : share of the weights of each linear layer to set to zero, in [0, 1).
    pattern : "unstructured", or "n:m" to keep n of every m consecutive inputs.

    Raises
    ------
    InputError : if a field is out of range, or m does not divide a layer's width.

    Examples
    --------
    >>> import etude
    >>> model, _ = etude.models.load("nano-llama")
    >>> Random(sparsity=0.5).prune(model)
    >>> round(etude.models.sparsity(model), 2)
    0.5
    """

    sparsity: Sparsity = 0.5
    pattern: str = "unstructured"

    def __post_init__(self) -> None:
        check_pattern(self.sparsity, self.pattern)

    def check(self, model: nn.Module) -> None:
        """Raise `InputError` if the pattern does not fit ``model``."""
        check_widths(block_linears(model), self.pattern)

    def prune(self, model: nn.Module, calibration: Mapping[str, Tensor] | None = None) -> None:
        """Prune ``model`` in place; ``calibration`` is not used."""
        self.check(model)
        for linear in block_linears(model):
            score = torch.rand(linear.weight.shape)
            remove(linear, removal_mask(score, self.sparsity, self.pattern))
