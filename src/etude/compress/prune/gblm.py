"""GBLM-Pruner: Wanda's score and the size of the loss's gradient."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

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
from etude.models.blocks import Feed, Linear, block_linears, find_blocks, walk
from etude.models.gradients import segment_gradients
from etude.models.likelihood import check_causal
from etude.models.stats import Norms

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
        for the gradients: one pass measures both. For "linear" and "block", see `Wanda`; another pass
        through the model, with "block" two. The authors' code measures by "block".
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
        """Prune ``model`` in place: gradients first, on the dense model, then layer by layer."""
        self.check(model)
        if self.score == "both" and self.feed == "dense" and self.gradients is None:
            norms, inputs = _measured(model, calibration, self.norm)
            for linear in block_linears(model):
                self._prune(linear, norms.pop(linear.name), inputs[linear.name].segment_norm())
            return
        norms = self._norms(model, calibration)
        if self.score == "gradient":
            for linear in block_linears(model):
                self._remove(linear, norms[linear.name])
            return
        blocks = find_blocks(model)[0]
        for block in walk(model, calibration, feed=self.feed):
            for linear in block.linears:
                name = f"{blocks}.{block.index}.{linear.name}"
                self._prune(linear, norms.pop(name), linear.inputs.segment_norm())

    def ratios(self, model: nn.Module, calibration: Mapping[str, Tensor]) -> dict[str, float]:
        """How the two terms weigh in each layer of the dense model: ``alpha median(G) / median(X)``.

        Near 0 a layer is pruned as by Wanda, far above 1 by the gradient alone. Changes nothing.
        """
        self.check(model)
        norms, inputs = _measured(model, calibration, self.norm)
        ratios = {}
        for linear in block_linears(model):
            gradient, activation = norms[linear.name], inputs[linear.name].segment_norm()
            weighted = self._alpha(gradient, activation) * gradient.median()
            ratios[linear.name] = float(weighted / activation.median())
        return ratios

    def _prune(self, linear: Linear, gradient: Tensor, activation: Tensor) -> None:
        self._remove(linear, gradient.mul_(self._alpha(gradient, activation)).add_(activation))

    def _remove(self, linear: Linear, factor: Tensor) -> None:
        score = linear.weight.abs().mul_(factor)
        remove(linear, removal_mask(score, self.sparsity, self.pattern, self.within, self.rule))

    def _alpha(self, gradient: Tensor, activation: Tensor) -> float:
        if self.alpha != "balance":
            return self.alpha
        middle = float(gradient.median())
        return self.balance * float(activation.median()) / middle if middle else 0.0

    def _norms(self, model: nn.Module, calibration: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The gradient norms, from the folder if they are there."""
        if self.gradients is None:
            return gradient_norms(model, calibration, self.norm)
        named = [*model.named_parameters(), *calibration.items()]
        cause = f"{files.fingerprint(named)} {self.norm}"
        name = hashlib.sha256(cause.encode()).hexdigest()[:16]
        path = Path(self.gradients, f"{name}.safetensors")
        if path.is_file():
            return files.load(path, model, "gradients")
        norms = gradient_norms(model, calibration, self.norm)
        files.save(norms, path, model, {"norm": self.norm})
        return norms


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
    return _measured(model, calibration, norm, inputs=False)[0]


def _measured(
    model: nn.Module, calibration: Mapping[str, Tensor], norm: Norm, *, inputs: bool = True
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Gradient norms, and if wanted the norms of what enters the layers, of the dense model."""
    totals: dict[str, Tensor] = {}

    def add(linear: Linear, gradient: Tensor) -> None:
        if linear.name not in totals:
            totals[linear.name] = torch.zeros(gradient.shape)
        if norm == "l1":
            totals[linear.name].add_(gradient.abs_())
        else:
            totals[linear.name].addcmul_(gradient, gradient)

    statistics = segment_gradients(model, calibration, add, measure=Norms if inputs else None)
    if norm == "l2":
        for total in totals.values():
            total.sqrt_()
    return totals, statistics
