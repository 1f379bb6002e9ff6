"""GBLM-Pruner: Wanda's score and the size of the loss's gradient."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

import annotated_types as at
import torch
from torch import Tensor, nn

from etude.compress.prune import importance as files
from etude.compress.prune.masks import (
    Rule,
    Sparsity,
    Within,
    check_pattern,
    check_rule,
    check_widths,
    removal_mask,
    remove,
)
from etude.method import method
from etude.models.backwards import walk_back
from etude.models.blocks import Feed, Linear, block_linears, find_blocks, walk
from etude.models.likelihood import check_causal
from etude.models.stats import Norms, Statistic

Norm = Literal["l1", "l2"]


@method("gblm", task="prune", paper="gblm", beside=("wanda", "sparsegpt"))
class GBLM:
    """Prune by weight magnitude times input norm plus gradient norm.

    Removes, in every output row, the weights with the smallest
    ``|W_ij| * ||X_j|| + alpha * |W_ij| * ||G_ij||``: Wanda's score, and how much the loss changes with
    the weight. ``G_ij`` holds the gradient of each calibration segment's mean next-token loss on the
    dense model; its norm is taken over segments. Changes no kept weight.

    The paper calibrates on 128 segments of 2048 tokens. ``||X_j||`` grows with their length, ``||G_ij||``
    with their number, and the better the model the smaller the gradient: `ratios` tells how the terms
    weigh on yours.

    Parameters
    ----------
    sparsity : share of the weights of each linear layer to set to zero, in [0, 1).
    pattern : "unstructured", or "n:m" to keep n of every m consecutive inputs.
    norm : over segments: "l1", the sum of absolute gradients, or "l2", the root of their squares.
    alpha : weight of the gradient term; "balance" sets it in each layer so that the median gradient
        norm is ``balance`` times the median input norm.
    balance : the ratio that alpha "balance" aims for, more than 0.
    score : "both" terms, or the "gradient" term alone, which is first-order Taylor importance for "l1".
    within : the group in which weights are compared: each "row", or the whole "matrix".
    rule : "count" or "cumulative"; see `Wanda`.
    feed : what the model is like in front of a layer when its input is measured. "dense", not pruned, as
        for the gradients: one pass measures both, and the norms of one block at a time are enough. For
        "linear" and "block", see `Wanda`; another pass through the model, with "block" two. The authors'
        code measures by "block".
    gradients : a folder in which gradient norms are kept: they are computed once for the same model, text
        and norm, whatever the sparsity. None keeps nothing.

    Raises
    ------
    InputError : if a field is out of range, m does not divide a layer's width, or the model predicts no
        next token or has weights without a gradient.

    Examples
    --------
    >>> import etude
    >>> model, tokenizer = etude.models.load("nano-llama")
    >>> calibration = etude.data.calibration("novels", tokenizer, samples=8, length=128)
    >>> GBLM(sparsity=0.5).prune(model, calibration)
    >>> round(etude.models.sparsity(model), 2)
    0.5

    References
    ----------
    Das et al., "Beyond Size: How Gradients Shape Pruning Decisions in Large Language Models", 2023,
    eq. 6. arXiv:2311.04902.
    """

    sparsity: Sparsity = 0.5
    pattern: str = "unstructured"
    norm: Norm = "l1"
    alpha: Annotated[float | Literal["balance"], at.Ge(0)] = 100.0
    balance: Annotated[float, at.Gt(0)] = 1.0
    score: Literal["both", "gradient"] = "both"
    within: Within = "row"
    rule: Rule = "count"
    feed: Feed = "dense"
    gradients: str | None = None

    def __post_init__(self) -> None:
        check_pattern(self.sparsity, self.pattern)
        check_rule(self.rule, self.pattern, self.within)

    def check(self, model: nn.Module) -> None:
        """Raise `InputError` if ``model`` predicts no next token, or the pattern does not fit it."""
        check_causal(model)
        check_widths(block_linears(model), self.pattern)

    def prune(self, model: nn.Module, calibration: Mapping[str, Tensor]) -> None:
        """Prune ``model`` in place, by gradients of the dense model: from the last block to the first.

        Only what is measured behind pruned layers needs all gradient norms before the first layer is
        pruned; they wait in a file then.
        """
        self.check(model)
        if self.gradients is None and (self.score == "gradient" or self.feed == "dense"):
            for linear, norm in norms_backwards(model, calibration, self.norm, self._measure):
                self._prune(linear, norm)
            return
        with tempfile.TemporaryDirectory() as folder:
            norms = self._kept(model, calibration, Path(self.gradients or folder))
            if self.score == "gradient":
                for linear in block_linears(model):
                    self._prune(linear, norms[linear.name])
                return
            blocks = find_blocks(model)[0]
            for block in walk(model, calibration, feed=self.feed):
                for linear in block.linears:
                    self._prune(linear, norms[f"{blocks}.{block.index}.{linear.name}"])

    def ratios(self, model: nn.Module, calibration: Mapping[str, Tensor]) -> dict[str, float]:
        """How the two terms weigh in each layer of the dense model: ``alpha median(G) / median(X)``.

        Near 0 a layer is pruned as by Wanda, far above 1 by the gradient alone. Changes nothing.
        """
        self.check(model)
        ratios = {}
        for linear, norm in norms_backwards(model, calibration, self.norm, Norms):
            activation = linear.inputs.segment_norm()
            ratios[linear.name] = float(self._alpha(norm, activation) * norm.median() / activation.median())
        return {linear.name: ratios[linear.name] for linear in block_linears(model)}

    @property
    def _measure(self) -> type[Norms] | None:
        return Norms if self.score == "both" else None

    def _prune(self, linear: Linear, norm: Tensor) -> None:
        if self.score == "both":
            activation = linear.inputs.segment_norm()
            norm.mul_(self._alpha(norm, activation)).add_(activation)
        score = norm.mul_(linear.weight.abs())
        remove(linear, removal_mask(score, self.sparsity, self.pattern, self.within, self.rule))

    def _alpha(self, gradient: Tensor, activation: Tensor) -> float:
        if self.alpha != "balance":
            return self.alpha
        middle = float(gradient.median())
        return self.balance * float(activation.median()) / middle if middle else 0.0

    def _kept(self, model: nn.Module, calibration: Mapping[str, Tensor], folder: Path) -> files.Importance:
        """The gradient norms, from the folder; computed if they are not there."""
        named = [*model.named_parameters(), *calibration.items()]
        cause = f"{files.fingerprint(named)} {self.norm}"
        name = hashlib.sha256(cause.encode()).hexdigest()[:16]
        path = Path(folder, f"{name}.safetensors")
        if not path.is_file():
            with files.saving(path, model, {"norm": self.norm}) as put:
                for linear, norm in norms_backwards(model, calibration, self.norm):
                    put(linear.name, norm)
        return files.Stored(path, model, "gradients")


def gradient_norms(
    model: nn.Module, calibration: Mapping[str, Tensor], norm: Norm = "l1"
) -> dict[str, Tensor]:
    """The norm, over segments, of the gradient of each segment's mean next-token loss; changes nothing.

    Parameters
    ----------
    model : a causal language model, not yet pruned.
    calibration : forward arguments, each ``[segments, length]``.
    norm : "l1", the sum of absolute values over segments, or "l2", the root of the sum of squares.

    Returns
    -------
    dict : of each linear layer of the blocks, by name from the model's root, float32 ``[out, in]``.

    Raises
    ------
    InputError : if the model predicts no next token, cannot take the calibration, or has weights without
        a gradient.

    Examples
    --------
    >>> from transformers import LlamaConfig, LlamaForCausalLM
    >>> config = LlamaConfig(vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
    ...                      num_attention_heads=2)
    >>> norms = gradient_norms(LlamaForCausalLM(config), {"input_ids": torch.arange(8).view(1, 8)})
    >>> norms["model.layers.0.mlp.up_proj"].shape
    torch.Size([8, 8])
    """
    norms = {linear.name: total for linear, total in norms_backwards(model, calibration, norm)}
    return {linear.name: norms[linear.name] for linear in block_linears(model)}


def norms_backwards(
    model: nn.Module,
    calibration: Mapping[str, Tensor],
    norm: Norm,
    measure: Callable[[int], Statistic] | None = None,
) -> Iterator[tuple[Linear, Tensor]]:
    """The same layer by layer, from the last block to the first: memory for one block's norms is enough.

    A layer may be edited, and its norm changed, once it is there. ``measure`` makes the statistic that
    ``inputs`` of the layer is to be, see `etude.models.backwards.walk_back`.
    """
    totals: dict[nn.Module, Tensor] = {}

    def add(linear: Linear, gradient: Tensor) -> None:
        if linear.module not in totals:
            totals[linear.module] = torch.zeros(gradient.shape)
        if norm == "l1":
            totals[linear.module].add_(gradient.abs_())
        else:
            totals[linear.module].addcmul_(gradient, gradient)

    for block in walk_back(model, calibration, add, measure=measure):
        for linear in block.linears:
            total = totals.pop(linear.module)
            yield linear, total if norm == "l1" else total.sqrt_()
