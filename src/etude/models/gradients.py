"""The loss of predicting the next token, and its gradients with respect to the blocks' linear layers.

`gradients` takes one batch; `segment_gradients` goes through the whole model with a few segments at a
time, and is the plainest. `etude.models.backwards` needs the memory of one block instead of all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from etude.models.blocks import Linear, block_linears, chunks
from etude.models.calibration import check_calibration
from etude.models.likelihood import check_causal
from etude.models.stats import Statistic
from etude.models.taps import Batch, EachSegment, Ear, Pairs, Visit, frozen, settle, tapped
from etude.progress import track

_LOSS_ROWS = 32
"""Rows of logits that are worked on together."""

SEGMENT_TOKENS = 512
"""Tokens that go through the model together by default: enough for full speed, a few segments' memory."""


def language_loss(model: Any, batch: Batch) -> Tensor:
    """Mean next-token cross-entropy over all tokens of a batch, in nats, padding left out.

    Parameters
    ----------
    model : a causal language model.
    batch : its forward arguments, ``input_ids`` ``[segments, length]`` and, if wanted, ``attention_mask``.

    Returns
    -------
    Tensor : a scalar that can be differentiated.
    """
    losses, counted = _token_losses(model, batch)
    return losses.sum() / counted.sum()


def segment_losses(model: Any, batch: Batch) -> Tensor:
    """The same for each segment on its own, ``[segments]``."""
    losses, counted = _token_losses(model, batch)
    return losses.sum(1) / counted.sum(1)


def _token_losses(model: Any, batch: Batch) -> tuple[Tensor, Tensor]:
    """The loss at each position, ``[segments, length]``, and whether it counts (else it is 0).

    The last position of a segment predicts nothing, nor does one in or before padding.
    """
    ids = batch["input_ids"]
    labels = pad(ids[:, 1:], (0, 1), value=-100)
    mask = batch.get("attention_mask")
    if mask is not None:
        labels = labels.masked_fill((mask == 0) | (mask.roll(-1, 1) == 0), -100)
    logits = model(**batch, use_cache=False).logits.flatten(0, 1)
    losses: Tensor = _CrossEntropy.apply(logits.float(), labels.flatten())  # type: ignore[no-untyped-call]
    return losses.view_as(labels), labels != -100


class _CrossEntropy(torch.autograd.Function):
    """Cross-entropy of each row, 0 where the label is -100, in the memory of the logits and little more.

    Logits are by far the largest tensor of a pass, and torch's own loss makes three more of their size. Here
    their gradient takes their place. (Were they still needed, autograd would say so: it checks.)
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor) -> Tensor:
        parts = torch.split(logits, _LOSS_ROWS)
        total = torch.cat([part.logsumexp(1) for part in parts])
        ctx.save_for_backward(logits, labels, total)
        chosen = logits.gather(1, labels.clamp_min(0)[:, None])[:, 0]
        return (total - chosen).masked_fill(labels < 0, 0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        logits, labels, total = ctx.saved_tensors
        weight = gradients[0].masked_fill(labels < 0, 0)[:, None]
        for start in range(0, len(logits), _LOSS_ROWS):
            rows = slice(start, start + _LOSS_ROWS)
            logits[rows].sub_(total[rows, None]).exp_().mul_(weight[rows])
        logits.scatter_add_(1, labels.clamp_min(0)[:, None], -weight)
        return logits, None


def gradients(
    model: Any, batch: Batch, visit: Visit, *, loss: Callable[[Any, Batch], Tensor] = language_loss
) -> float:
    """Run one batch forward and backward, and hand over the gradient of its loss layer by layer.

    Parameters
    ----------
    model : a causal language model; left as it was (mode, ``requires_grad``, no ``.grad``).
    batch : forward arguments, each ``[segments, ...]``.
    visit : called once for each layer, roughly from the last to the first, while the backward pass is
        under way: it may keep the gradient but must not edit the weights.
    loss : of a model and a batch, a scalar.

    Returns
    -------
    float : the loss.

    Raises
    ------
    InputError : if the model predicts no next token, cannot take the batch, or has a weight that has
        no gradient (quantised, or cut off from the loss).

    Examples
    --------
    >>> from transformers import LlamaConfig, LlamaForCausalLM
    >>> config = LlamaConfig(vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
    ...                      num_attention_heads=2)
    >>> batch = {"input_ids": torch.arange(8).view(1, 8)}
    >>> _ = gradients(LlamaForCausalLM(config), batch, lambda linear, gradient: print(linear.name))
    model.layers.0.mlp.down_proj
    model.layers.0.mlp.up_proj
    model.layers.0.mlp.gate_proj
    model.layers.0.self_attn.o_proj
    model.layers.0.self_attn.v_proj
    model.layers.0.self_attn.k_proj
    model.layers.0.self_attn.q_proj
    """

    def take(linear: Linear, pairs: Pairs) -> None:
        gradient = sum(dy.flatten(0, -2).T @ x.flatten(0, -2) for x, dy in pairs)
        visit(linear, gradient.float())  # type: ignore[union-attr]

    check_causal(model)
    check_calibration(model, batch, predicts=True)
    with frozen(model), torch.enable_grad(), tapped(block_linears(model), take) as taps:
        value = loss(model, batch)
        value.backward()  # type: ignore[no-untyped-call]
        settle(taps)
    return float(value.detach())


def segment_gradients(
    model: Any,
    calibration: Batch,
    visit: Visit,
    *,
    measure: Callable[[int], Statistic] | None = None,
    together: int | None = None,
) -> dict[str, Statistic]:
    """Hand over, for every segment and every layer, the gradient of that segment's mean loss.

    Parameters
    ----------
    model : a causal language model; left as it was (mode, ``requires_grad``, no ``.grad``).
    calibration : forward arguments, each ``[segments, ...]``.
    visit : called once for each layer and segment. The gradient's storage is used again for the next
        one: what is to be kept must be copied. It may be changed in place; the weights must not be.
    measure : makes a statistic of what enters a layer, from its number of features, to be filled in
        the same forward pass (`etude.models.stats`).
    together : segments that go through the model together; by default about 512 tokens.

    Returns
    -------
    dict : the statistic of each layer, by name from the model's root; empty without ``measure``.

    Raises
    ------
    InputError : if the model predicts no next token, cannot take the calibration, or has a weight that
        has no gradient (quantised, or cut off from the loss).

    Examples
    --------
    >>> from transformers import LlamaConfig, LlamaForCausalLM
    >>> config = LlamaConfig(vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
    ...                      num_attention_heads=2)
    >>> visited = []
    >>> calibration = {"input_ids": torch.zeros(4, 16, dtype=torch.long)}
    >>> _ = segment_gradients(LlamaForCausalLM(config), calibration, lambda *pair: visited.append(pair))
    >>> len(visited), visited[0][1].shape
    (28, torch.Size([8, 8]))
    """
    check_causal(model)
    check_calibration(model, calibration, predicts=True)
    form, ear = EachSegment(visit), Ear(measure)
    with frozen(model), torch.enable_grad(), tapped(block_linears(model), form, ear.hear) as taps:
        for batch in track(segment_batches(calibration, together, SEGMENT_TOKENS), "gradients"):
            form.segments = len(batch["input_ids"])
            ear.turn_to(batch)
            segment_losses(model, batch).sum().backward()  # type: ignore[no-untyped-call]
            settle(taps)
    return ear.statistics


def segment_batches(calibration: Batch, together: int | None, tokens: int) -> list[dict[str, Tensor]]:
    """Batches of ``together`` segments; if None, of about so many tokens."""
    return chunks(calibration, together or max(1, tokens // calibration["input_ids"].shape[1]))
