"""Weight gradients of the linear layers inside the blocks, each handed over as soon as it is there.

Nothing is stored on the parameters. The weights are frozen for the backward pass; what entered a layer
and the gradient that comes back to its output make its weight's gradient, ``dY^T X``. So the products
for embeddings, norms and the head are never formed (a tied head is not counted), only one layer's
gradient lives at a time, and several segments share one pass and still have a gradient each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from etude.errors import InputError
from etude.models.blocks import Linear, block_linears, chunks, inference, real_tokens, same_input
from etude.models.calibration import check_calibration
from etude.models.likelihood import check_causal
from etude.models.stats import Statistic
from etude.progress import track

Batch = Mapping[str, Tensor]
Visit = Callable[[Linear, Tensor], None]
"""Called with a layer, named from the model's root, and its weight's gradient, ``[out, in]``."""
Pairs = list[tuple[Tensor, Tensor]]
"""Input and output gradient of each call of a layer."""

_LOSS_ROWS = 128
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
    with _frozen(model), _tapped(block_linears(model), take) as taps:
        value = loss(model, batch)
        value.backward()  # type: ignore[no-untyped-call]
        _settle(taps)
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
    scratch: dict[torch.Size, Tensor] = {}

    def take(linear: Linear, pairs: Pairs) -> None:
        shape = linear.weight.shape
        gradient = scratch.setdefault(shape, torch.empty(shape))
        for parts in zip(*(_by_segment(pair, segments) for pair in pairs), strict=True):
            for call, (x, dy) in enumerate(parts):
                torch.addmm(gradient, dy.T, x, beta=min(call, 1), out=gradient)
            visit(linear, gradient)

    check_causal(model)
    check_calibration(model, calibration, predicts=True)
    length = calibration["input_ids"].shape[1]
    ear = _Ear(measure)
    batches = chunks(calibration, together or max(1, SEGMENT_TOKENS // length))
    with _frozen(model), _tapped(block_linears(model), take, ear.hear) as taps:
        for batch in track(batches, "gradients"):
            segments = len(batch["input_ids"])
            ear.turn_to(batch)
            segment_losses(model, batch).sum().backward()  # type: ignore[no-untyped-call]
            _settle(taps)
    return ear.statistics


class _Tap:
    """Catches what enters a layer and what comes back to it; hands both over after the last call."""

    def __init__(self, linear: Linear, take: Callable[[Linear, Pairs], None], hear: Hear | None) -> None:
        self.linear = linear
        self.take = take
        self.hear = hear
        self.calls = 0
        self.pairs: Pairs = []

    def __call__(self, _: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        x = args[0].detach()
        version = x._version
        self.calls += 1
        if self.hear is not None:
            self.hear(self.linear.name, x)

        def answer(gradient: Tensor) -> None:
            if x._version != version:
                raise RuntimeError(f"the input of {self.linear.name} was overwritten in the forward pass")
            self.pairs.append((x, gradient))
            if len(self.pairs) == self.calls:
                self.hand_over()

        first = not output.requires_grad  # nothing before it has a gradient: the graph begins here
        if first:
            output.requires_grad_()
        output.register_hook(answer)  # type: ignore[no-untyped-call]
        return output.clone() if first else None

    def hand_over(self) -> None:
        pairs, self.pairs, self.calls = self.pairs, [], 0
        self.take(self.linear, pairs)


Hear = Callable[[str, Tensor], None]


class _Ear:
    """Fills the statistics of inputs during a forward pass; layers called on one tensor share one."""

    def __init__(self, measure: Callable[[int], Statistic] | None) -> None:
        self.measure = measure
        self.statistics: dict[str, Statistic] = {}

    def turn_to(self, batch: Batch) -> None:
        self._mask = batch.get("attention_mask")
        self._segments = len(next(iter(batch.values())))
        self._heard: tuple[Tensor, int, Statistic] | None = None

    def hear(self, name: str, x: Tensor) -> None:
        if self.measure is None:
            return
        if self._heard is not None and same_input(x, *self._heard[:2]):
            self.statistics.setdefault(name, self._heard[2])
            return
        statistic = self.statistics.setdefault(name, self.measure(x.shape[-1]))
        statistic.update(real_tokens(x, self._mask), self._segments)
        self._heard = (x, x._version, statistic)


@contextmanager
def _tapped(
    linears: Iterable[Linear], take: Callable[[Linear, Pairs], None], hear: Hear | None = None
) -> Iterator[list[_Tap]]:
    with ExitStack() as stack:
        taps = []
        for linear in linears:
            if not linear.weight.is_floating_point():
                kind = str(linear.weight.dtype).removeprefix("torch.")
                raise InputError(
                    "model", f"{linear.name} is quantised ({kind}) and has no gradient; load it unquantised"
                )
            taps.append(_Tap(linear, take, hear))
            stack.callback(linear.module.register_forward_hook(taps[-1]).remove)
        yield taps


def _settle(taps: Iterable[_Tap]) -> None:
    """After a backward pass: hand over layers of which some calls did not matter to the loss."""
    for tap in taps:
        if tap.pairs:
            tap.hand_over()
        elif tap.calls:
            raise InputError("model", f"{tap.linear.name} is cut off from the loss and has no gradient")


def _by_segment(pair: tuple[Tensor, Tensor], segments: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Input and output gradient of each segment, ``[tokens, features]``."""
    x, dy = (part.reshape(segments, -1, part.shape[-1]).float() for part in pair)
    return zip(x, dy, strict=True)


@contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    """Gradients on, but for no parameter; evaluation mode; everything put back afterwards."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with inference(model), torch.enable_grad():
        try:
            for parameter in trainable:
                parameter.requires_grad_(False)
            yield
        finally:
            for parameter in trainable:
                parameter.requires_grad_(True)
