"""What of a forward pass does not matter to its gradients, and need not be computed for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from etude.models.blocks import Linear, is_transposed
from etude.models.taps import Tap

_SUMS = ("AddBackward0", "CloneBackward0", "UnsafeViewBackward0", "ViewBackward0")
"""Nodes of a graph whose gradients do not depend on the values that went in."""


def only_added(output: Tensor, taps: Sequence[Tap]) -> list[Linear]:
    """The layers whose outputs are only added up on the way to ``output``: their values change no gradient.

    ``taps`` caught the calls of the forward pass that ``output`` came from.

    Examples
    --------
    >>> from etude.models.taps import tapped
    >>> x, first, last = torch.ones(1, 1, requires_grad=True), nn.Linear(1, 1), nn.Linear(1, 1)
    >>> with tapped([Linear("first", first), Linear("last", last)], print) as taps:
    ...     print(only_added(x + last(first(x).relu()), taps))
    [Linear('last', (1, 1))]
    """
    return [tap.linear for tap in taps if _is_plain(tap.linear.module) and _sums_up(output, tap.nodes)]


def _sums_up(output: Tensor, nodes: Sequence[Any]) -> bool:
    sums: list[Any] = [output.grad_fn]
    others = []
    while sums:
        node = sums.pop()
        if node.name() in _SUMS and node not in nodes:
            sums.extend(following for following, _ in node.next_functions if following is not None)
        elif node not in nodes:
            others.append(node)
    return bool(nodes) and reachable(others).isdisjoint(nodes)


def reachable(roots: Sequence[Any]) -> set[Any]:
    """All nodes of the autograd graph that can be reached from these."""
    found: set[Any] = set()
    waiting = list(roots)
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting.extend(following for following, _ in node.next_functions if following is not None)
    return found


def _is_plain(module: nn.Module) -> bool:
    """Whether it multiplies and adds, and nothing more: a subclass of ``nn.Linear`` might."""
    return type(module) is nn.Linear or is_transposed(module)


class _Unformed(torch.autograd.Function):
    """A linear layer whose product is not formed, for only the gradient of its input is wanted."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        return x.new_zeros(*x.shape[:-1], len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (weight,) = ctx.saved_tensors
        return gradients[0] @ weight, None


@contextmanager
def unformed(layers: Sequence[Linear]) -> Iterator[None]:
    """Inside this context these layers return zeros of the right shape; their gradients are the true ones."""
    with ExitStack() as stack:
        for layer in layers:
            stack.enter_context(_replaced(layer.module, partial(_unform, layer.weight)))
        yield


def _unform(weight: Tensor, x: Tensor) -> Tensor:
    zeros: Tensor = _Unformed.apply(x, weight)  # type: ignore[no-untyped-call]
    return zeros


@contextmanager
def _replaced(module: nn.Module, forward: Callable[[Tensor], Tensor]) -> Iterator[None]:
    before = vars(module).get("forward")  # other libraries, too, put one on the module itself
    module.forward = forward
    try:
        yield
    finally:
        del module.forward
        if before is not None:
            module.forward = before
