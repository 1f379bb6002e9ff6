"""Weight gradients of linear layers, each handed over as soon as it is there.

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

from etude.errors import InputError
from etude.models.blocks import Linear, inference, real_tokens, same_input
from etude.models.stats import Statistic

Batch = Mapping[str, Tensor]
Visit = Callable[[Linear, Tensor], None]
"""Called with a layer, named from the model's root, and its weight's gradient, ``[out, in]``."""
Pairs = list[tuple[Tensor, Tensor]]
"""Input and output gradient of each call of a layer."""
Hear = Callable[[str, Tensor], None]
"""Called in the forward pass with a layer's name and what enters it."""


class Tap:
    """Catches what enters a layer and what comes back to it; hands both over after the last call."""

    def __init__(self, linear: Linear, take: Callable[[Linear, Pairs], None], hear: Hear | None) -> None:
        self.linear = linear
        self.take = take
        self.hear = hear
        self.nodes: list[Any] = []
        """What the autograd graph knows its outputs by, one for each call of the forward pass."""
        self.pairs: Pairs = []

    def __call__(self, _: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        x = args[0].detach()
        version = x._version
        if self.hear is not None:
            self.hear(self.linear.name, x)

        def answer(gradient: Tensor) -> None:
            if x._version != version:
                raise RuntimeError(f"the input of {self.linear.name} was overwritten in the forward pass")
            self.pairs.append((x, gradient))
            if len(self.pairs) == len(self.nodes):
                self.hand_over()

        first = not output.requires_grad  # nothing before it has a gradient: the graph begins here
        if first:
            output.requires_grad_()
        output.register_hook(answer)  # type: ignore[no-untyped-call]
        if first:
            output = output.clone()
        self.nodes.append(output.grad_fn)
        return output

    def hand_over(self) -> None:
        pairs, self.pairs, self.nodes = self.pairs, [], []
        self.take(self.linear, pairs)


class EachSegment:
    """Forms the gradient of each segment of a batch in turn, always in the same storage, and shows it."""

    def __init__(self, visit: Visit) -> None:
        self.visit = visit
        self.segments = 1
        """How many the batch holds that goes through the model now."""
        self._scratch = torch.empty(0)

    def __call__(self, linear: Linear, pairs: Pairs) -> None:
        shape = linear.weight.shape
        if self._scratch.numel() < shape.numel():
            self._scratch = torch.empty(shape.numel())
        gradient = self._scratch[: shape.numel()].view(shape)
        for parts in zip(*(self._parts(pair) for pair in pairs), strict=True):
            for call, (x, dy) in enumerate(parts):
                torch.addmm(gradient, dy.T, x, beta=min(call, 1), out=gradient)
            self.visit(linear, gradient)

    def _parts(self, pair: tuple[Tensor, Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Input and output gradient of each segment, ``[tokens, features]``."""
        x, dy = (part.reshape(self.segments, -1, part.shape[-1]).float() for part in pair)
        return zip(x, dy, strict=True)


class Ear:
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
        if name not in self.statistics:
            self.statistics[name] = self.measure(x.shape[-1])
        statistic = self.statistics[name]
        statistic.update(real_tokens(x, self._mask), self._segments)
        self._heard = (x, x._version, statistic)


@contextmanager
def tapped(
    linears: Iterable[Linear], take: Callable[[Linear, Pairs], None], hear: Hear | None = None
) -> Iterator[list[Tap]]:
    """Catch what passes through the layers inside this context.

    Raises
    ------
    InputError : if a layer is quantised and has no gradient.
    """
    with ExitStack() as stack:
        taps = []
        for linear in linears:
            if not linear.weight.is_floating_point():
                kind = str(linear.weight.dtype).removeprefix("torch.")
                raise InputError(
                    "model", f"{linear.name} is quantised ({kind}) and has no gradient; load it unquantised"
                )
            taps.append(Tap(linear, take, hear))
            stack.callback(linear.module.register_forward_hook(taps[-1]).remove)
        yield taps


def settle(taps: Iterable[Tap]) -> None:
    """After a backward pass: hand over layers of which some calls did not matter to the loss.

    Raises
    ------
    InputError : if no call of a layer did.
    """
    for tap in taps:
        if tap.pairs:
            tap.hand_over()
        elif tap.nodes:
            raise InputError("model", f"{tap.linear.name} is cut off from the loss and has no gradient")


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, and a gradient for no parameter; everything put back afterwards."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with inference(model):
        try:
            for parameter in trainable:
                parameter.requires_grad_(False)
            yield
        finally:
            for parameter in trainable:
                parameter.requires_grad_(True)
