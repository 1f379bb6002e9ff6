"""D-Pruner: prune for a domain, and keep what matters in general."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from math import ceil
from pathlib import Path
from typing import Annotated, Any, Literal

import annotated_types as at
import torch
from torch import Tensor, nn

from etude.compress.hessian import inverse_factor
from etude.compress.prune import importance as files
from etude.compress.prune.importance import Importance, Over, remove_lowest, share_of_linears
from etude.compress.prune.masks import Sparsity, removal_mask
from etude.compress.prune.sparsegpt import scan
from etude.errors import InputError
from etude.method import method, parameters
from etude.models.blocks import Feed, Linear, block_linears, find_blocks, inference, is_transposed, walk
from etude.models.calibration import TOKENS, check_calibration
from etude.models.gradients import language_loss
from etude.models.likelihood import check_causal
from etude.models.stats import Gram
from etude.progress import track

Batch = dict[str, Tensor]
WARMUP = 0.1
"""Share of the steps over which the learning rate rises; it falls to 0 over the others."""


@method("d-pruner", task="prune", paper="d-pruner", beside=("wanda", "sparsegpt"))
class DPruner:
    """Remove the weights that matter neither to a domain nor in general.

    General importance ``G = w^2 / U_jj^2``, the squared output error of removing a weight, comes from a
    scan as in SparseGPT over general text. Then the model is trained on domain text for a few steps of
    plain descent, under a loss that holds back weights of high G: its gradient is
    ``g' = g + 2 lambda rate^2 G g h``, with ``h`` the running mean of ``g^2``. Each step adds
    ``|g' w + (g' w)^2 / 2N|`` to the importance of a weight. What was trained is thrown away; the
    original weights are pruned.

    The paper uses 1000 domain segments of 1024 tokens in batches of 8 for 5 epochs, and 128 x 2048
    tokens of general text; a model of 100 M parameters does with 200 segments, batches of 4, one epoch.

    Parameters
    ----------
    sparsity : share of the weights to set to zero, in [0, 1), met to the unit.
    over : what it is a share of: the linear layers of the blocks ("linears"), or all "parameters",
        though only those layers are pruned (the paper: 0.5 of all, which is 0.52 of the linear layers).
    regularisation : lambda, how strongly generally important weights are held back; 0 spares the scan.
    form : of the regularised gradient: the "paper"'s ``G g h``, or the released "code"'s ``G g^2 / N``.
    sign : of the second-order term: "plus" as released, or "minus", as the expansion of the loss has it.
    cubic : whether to add the released code's signed ``w^3``.
    rate : highest learning rate; it rises over the first tenth of the steps, then falls to 0. With 0
        the model stays as it is while it is scored.
    epochs : passes over the domain text.
    batch : segments in a step.
    clip : longest gradient, over all parameters, that a step follows; longer ones are shortened.
    blocking : whether weights are compared only inside runs of about ``width`` inputs ("iterative
        blocking"); the layers that read more features have as many, longer runs.
    adapted : whether to keep the weights as trained on the domain instead of the original ones.
    scanned : share of each run of columns that the scan removes while it measures G.
    damping : of the scan, as a share of the mean squared input.
    width : columns that the scan, and ``blocking``, take together.
    feed : what the model is like in front of a layer when the scan measures its input; see `Wanda`.
    importances : a folder in which importance is kept: it is computed once for the same model, texts,
        settings and seed, whatever the sparsity. None keeps nothing.

    Raises
    ------
    InputError : if a field is out of range, or ``adapted`` weights are asked of an ``importances`` folder.

    Examples
    --------
    >>> import etude
    >>> model, tokenizer = etude.models.load("nano-llama")
    >>> general = etude.data.calibration("novels", tokenizer, samples=8, length=128)
    >>> domain = {"input_ids": general["input_ids"].flip(1)}
    >>> DPruner(sparsity=0.4).prune(model, general, domain=domain)
    >>> round(etude.models.sparsity(model), 2)
    0.4

    References
    ----------
    Zhang et al., "Pruning as a Domain-specific LLM Extractor", Findings of NAACL 2024.
    arXiv:2405.06275.
    """

    sparsity: Sparsity = 0.5
    over: Over = "linears"
    regularisation: Annotated[float, at.Ge(0)] = 0.1
    form: Literal["paper", "code"] = "paper"
    sign: Literal["plus", "minus"] = "plus"
    cubic: bool = False
    rate: Annotated[float, at.Ge(0)] = 0.03
    epochs: Annotated[int, at.Ge(1)] = 1
    batch: Annotated[int, at.Ge(1)] = 4
    clip: Annotated[float, at.Gt(0)] = 1.0
    blocking: bool = False
    adapted: bool = False
    scanned: Sparsity = 0.52
    damping: Annotated[float, at.Ge(0)] = 0.01
    width: Annotated[int, at.Ge(1)] = 128
    feed: Feed = "linear"
    importances: str | None = None

    def __post_init__(self) -> None:
        if self.adapted and self.importances is not None:
            raise InputError(
                "adapted", "weights are not kept in an importances folder; leave one of them out"
            )

    def check(self, model: nn.Module) -> None:
        """Raise `InputError` if the model is of no use, or too small a part of it can be pruned."""
        check_causal(model)
        share_of_linears(model, self.sparsity, self.over)

    def prune(
        self,
        model: nn.Module,
        calibration: Mapping[str, Tensor],
        *,
        domain: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Prune ``model`` in place, for ``domain`` text, holding on to what ``calibration`` stands for."""
        importance, trained = self._importance(model, calibration, domain)
        if self.adapted:
            model.load_state_dict(trained.state_dict())
        self.remove(model, importance)

    def importance(
        self, model: nn.Module, calibration: Mapping[str, Tensor], *, domain: Mapping[str, Tensor]
    ) -> Importance:
        """How much each weight matters to the domain and in general; leaves ``model`` as it is.

        Returns
        -------
        Mapping : of each linear layer of the blocks, by name from the model's root, float32 ``[out, in]``.
            Hand it to `remove`, at any sparsity, or to `etude.compress.prune.importance.save`.
        """
        return self._importance(model, calibration, domain)[0]

    def remove(self, model: nn.Module, importance: Importance) -> None:
        """Set the least important weights of ``model`` to zero, in place."""
        share = share_of_linears(model, self.sparsity, self.over)
        narrowest = min(linear.weight.shape[1] for linear in block_linears(model))
        remove_lowest(model, importance, share, runs=ceil(narrowest / self.width) if self.blocking else 1)

    def general_importance(self, model: nn.Module, calibration: Mapping[str, Tensor]) -> Importance:
        """``G``: the squared error, summed over a mean segment, that the removal of each weight causes.

        Scans ``model`` as SparseGPT does and so ruins it: later weights make up for those removed, and are
        scored as they then are.
        """
        blocks, general = find_blocks(model)[0], {}
        for block in walk(model, calibration, measure=Gram, feed=self.feed):
            for inputs, sharing in groupby(block.linears, key=lambda linear: linear.inputs):
                hessian = inputs.matrix() * (2 / inputs.segments)
                factor = inverse_factor(hessian, self.damping)
                for linear in sharing:
                    scores: list[Tensor] = []
                    scan(linear.weight, hessian, self._noting(scores), width=self.width, factor=factor)
                    general[f"{blocks}.{block.index}.{linear.name}"] = torch.cat(scores, 1)
        return general

    def dual_importance(
        self, model: nn.Module, domain: Mapping[str, Tensor], general: Importance | None
    ) -> Importance:
        """``I``: summed over the steps of a descent on ``domain`` that changes ``model``.

        ``general`` is ``G``, or None for lambda = 0.
        """
        linears, count = block_linears(model), len(domain[TOKENS])
        importance = {linear.name: torch.zeros_like(linear.weight) for linear in linears}
        squares = {linear.name: torch.zeros_like(linear.weight) for linear in linears if general}
        second = (1 if self.sign == "plus" else -1) / (2 * count)
        for step, (rate, batch) in enumerate(self._steps(domain), 1):
            loss = language_loss(model, batch)
            if not bool(loss.isfinite()):
                raise InputError(
                    "rate", f"the loss on the domain is {float(loss)} at step {step}; give a lower one"
                )
            loss.backward()  # type: ignore[no-untyped-call]
            for linear in linears:
                weight, gradient = linear.weight, _gradient(linear)
                if general:
                    squared = gradient.square()
                    mean = squares[linear.name].lerp_(squared, 1 / step)
                    pull = gradient * mean if self.form == "paper" else squared / count
                    gradient += 2 * self.regularisation * rate**2 * general[linear.name] * pull
                change = gradient * weight
                change += second * change.square()
                importance[linear.name] += (change + weight**3 if self.cubic else change).abs()
            _descend(model, rate, self.clip)
        return importance

    def _importance(
        self, model: nn.Module, calibration: Mapping[str, Tensor], domain: Mapping[str, Tensor] | None
    ) -> tuple[Importance, nn.Module]:
        """The importance, and the model as it was trained on the domain."""
        self.check(model)
        domain = check_texts(model, calibration, domain)
        kept = None if self.importances is None else self._file(model, calibration, domain)
        if kept is not None and kept.is_file():
            return files.load(kept, model), model
        general = None
        if self.regularisation:
            general = self.general_importance(copy.deepcopy(model).float(), calibration)
        trained = copy.deepcopy(model).float().requires_grad_()
        with inference(trained), torch.enable_grad():
            importance = self.dual_importance(trained, domain, general)
        if kept is not None:
            files.save(importance, kept, model, self._settings())
        return importance, trained

    def _noting(self, scores: list[Tensor]) -> Callable[[Tensor], Tensor]:
        """Chooses, for a scan, the lowest share of each run of columns, and notes their scores."""

        def choose(score: Tensor) -> Tensor:
            scores.append(score.clone())
            return removal_mask(score, self.scanned, within="matrix")

        return choose

    def _steps(self, domain: Mapping[str, Tensor]) -> Iterator[tuple[float, Batch]]:
        """The learning rate and the batch of each step."""
        count = len(domain[TOKENS])
        batches = [
            rows for _ in range(self.epochs) for rows in torch.split(torch.randperm(count), self.batch)
        ]
        for step, rows in enumerate(track(batches, "domain"), 1):
            done = step / max(2, len(batches))
            rise, fall = done / WARMUP, (1 - done) / (1 - WARMUP)
            yield self.rate * min(rise, fall), {name: value[rows] for name, value in domain.items()}

    def _settings(self) -> dict[str, Any]:
        """The fields on which importance depends."""
        spent = ("sparsity", "over", "blocking", "adapted", "importances")
        return {name: value for name, value in parameters(self).items() if name not in spent}

    def _file(self, model: nn.Module, *texts: Mapping[str, Tensor]) -> Path:
        """Where the importance for these inputs is kept: named by all that determines it."""
        inputs = [("random", torch.get_rng_state()), *(pair for text in texts for pair in text.items())]
        cause = [files.weights_fingerprint(model), files.fingerprint(inputs), self._settings()]
        name = hashlib.sha256(json.dumps(cause, sort_keys=True).encode()).hexdigest()[:16]
        return Path(str(self.importances), f"{name}.safetensors")


def check_texts(
    model: nn.Module, general: Mapping[str, Tensor], domain: Mapping[str, Tensor] | None
) -> Mapping[str, Tensor]:
    """The domain text, or `InputError` if it is missing, unusable, or shares segments with the general."""
    check_calibration(model, general)
    if domain is None:
        raise InputError(
            "domain", "is missing; give forward arguments of domain text, as for the calibration"
        )
    check_calibration(model, domain, "domain", predicts=True)
    known = {tuple(row) for row in general[TOKENS].tolist()} if TOKENS in general else set()
    shared = sum(tuple(row) in known for row in domain[TOKENS].tolist())
    if shared:
        raise InputError(
            "domain", f"{shared} of its segments are in the calibration too; give different texts"
        )
    return domain


def _gradient(linear: Linear) -> Tensor:
    """The gradient of a layer's weight as ``[out, in]``, a view; `InputError` if there is none."""
    gradient: Tensor | None = linear.module.weight.grad  # type: ignore[assignment]
    if gradient is None:
        raise InputError("model", f"{linear.name} is cut off from the loss and has no gradient")
    return gradient.T if is_transposed(linear.module) else gradient


@torch.no_grad()
def _descend(model: nn.Module, rate: float, clip: float) -> None:
    """One step of plain descent, and no gradients afterwards."""
    torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.sub_(parameter.grad, alpha=rate)
            parameter.grad = None
