"""Wanda: prune by weight magnitude times input norm."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from etude.compress.prune.masks import (
    Rule,
    Sparsity,
    check_pattern,
    check_rule,
    check_widths,
    removal_mask,
    remove,
)
from etude.method import method
from etude.models.blocks import Feed, block_linears, walk


@method("wanda", task="prune")
class Wanda:
    """Prune by weight magnitude times input norm.

    Removes, in every output row, the weights with the smallest ``|W_ij| * ||X_j||``, where ``X_j``
    is the j-th input feature over the tokens of a calibration segment (in the root mean square over
    segments). Needs no gradients and changes no kept weight.

    Parameters
    ----------
    sparsity : share of the weights of each linear layer to set to zero, in [0, 1).
    pattern : "unstructured", or "n:m" to keep n of every m consecutive inputs.
    rule : in each row, remove a fixed "count" of weights, or, as the paper's variant does, those whose
        "cumulative" score is the same share of every row's: then rows differ in how many they lose, and
        the sparsity of a layer is met within 0.001.
    feed : what the model is like in front of a layer when its input is measured: "linear" (everything
        before it pruned; one pass), "block" (earlier blocks pruned, its own dense; two passes, as in
        the authors' code; the same quality) or "dense" (nothing pruned; one pass).

    Raises
    ------
    InputError : if a field is out of range, or m does not divide a layer's width.

    Examples
    --------
    >>> import etude
    >>> model, tokenizer = etude.models.load("nano-llama")
    >>> calibration = etude.data.calibration("novels", tokenizer, samples=8, length=128)
    >>> Wanda(sparsity=0.5).prune(model, calibration)
    >>> round(etude.models.sparsity(model), 2)
    0.5

    References
    ----------
    Sun et al., "A Simple and Effective Pruning Approach for Large Language Models", ICLR 2024,
    eq. 1. arXiv:2306.11695.
    """

    sparsity: Sparsity = 0.5
    pattern: str = "unstructured"
    rule: Rule = "count"
    feed: Feed = "linear"

    def __post_init__(self) -> None:
        check_pattern(self.sparsity, self.pattern)
        check_rule(self.rule, self.pattern)

    def check(self, model: nn.Module) -> None:
        """Raise `InputError` if the pattern does not fit ``model``."""
        check_widths(block_linears(model), self.pattern)

    def prune(self, model: nn.Module, calibration: Mapping[str, Tensor]) -> None:
        """Prune ``model`` in place, block by block, with inputs measured over ``calibration``."""
        self.check(model)
        for block in walk(model, calibration, feed=self.feed):
            for linear in block.linears:
                score = linear.weight.abs().mul_(linear.inputs.segment_norm())
                remove(linear, removal_mask(score, self.sparsity, self.pattern, rule=self.rule))
