"""A linear layer over a packed weight."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from etude.models.packed.kernels import DECODING, DENSE, Choice, Kernel, Product, chosen
from etude.models.packed.weight import Packed


class PackedLinear(nn.Module):
    """``y = x W^T + b`` with the weight packed, for inference on the CPU.

    One kernel serves single rows (decoding token by token), another several (a prompt, a batch).
    Where a gradient is asked for, the weight is decoded: it then reaches the input, never the weight.

    Parameters
    ----------
    weight : the packed weight, ``[out, in]``.
    bias : ``[out]``, or None.
    choice : which kernels to use.
    """

    def __init__(self, weight: Packed, bias: Tensor | None, choice: Choice) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.packed = weight
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
        self.choice = choice
        products = {kernel: kernel.make(weight) for kernel in {choice.one, choice.several}}
        self._one, self._several = products[choice.one], products[choice.several]
        self._exact: Product = DECODING.make(weight)
        if choice == Choice(DENSE, DENSE) and weight.low_rank is None and weight.divisor is None:
            # Nothing may stand between: these layers are so small that every call on the way is felt.
            self.forward = partial(  # type: ignore[method-assign]
                nn.functional.linear, weight=weight.decoded(), bias=self.bias
            )

    def forward(self, x: Tensor) -> Tensor:
        """``[..., in]`` to ``[..., out]``."""
        rows = x.reshape(-1, self.in_features)
        if self.packed.divisor is not None:
            rows = rows / self.packed.divisor
        if torch.is_grad_enabled() and x.requires_grad:
            y = self._exact(rows)
        else:
            y = self._one(rows) if len(rows) == 1 else self._several(rows)
        product = self.packed.low_rank
        if product is not None:
            y = y + (rows @ product.right.T) @ product.left.T
        if self.bias is not None:
            y = y + self.bias
        return y.view(*x.shape[:-1], self.out_features)

    def kernels(self) -> tuple[Kernel, Kernel]:
        """For one row, and for several."""
        return self.choice.one, self.choice.several

    def bytes(self) -> int:
        """What the weight takes in memory, in all forms in which it is held."""
        held = {kernel for kernel in self.kernels() if kernel is not DECODING}
        return self.packed.bytes() + sum(kernel.held(self.packed) for kernel in held)

    def extra_repr(self) -> str:
        """Shape, bits, and kernels."""
        one, several = (kernel.name for kernel in self.kernels())
        return f"{self.in_features}, {self.out_features}, bits={self.packed.bits}, kernels=({one}, {several})"


@contextmanager
def packed_within(model: nn.Module, weights: Mapping[str, Packed], kernel: str = "auto") -> Iterator[None]:
    """Let linear layers of a model, by dotted name, compute from packed weights inside the block.

    Parameters
    ----------
    model : whose layers are put back afterwards.
    weights : packed weights of some of its linear layers.
    kernel : as for `etude.models.packed.kernels.chosen`.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(4, 2, bias=False))
    >>> weight = Packed.of(torch.ones(2, 4, dtype=torch.uint8), torch.tensor([0.0, 1.0]), torch.ones(2, 1))
    >>> with packed_within(model, {"0": weight}, kernel="decode"):
    ...     model(torch.ones(1, 4))
    tensor([[4., 4.]])
    """
    before = {name: model.get_submodule(name) for name in weights}
    try:
        for name, weight in weights.items():
            bias = before[name].bias
            held = None if bias is None else bias.detach()  # type: ignore[operator]
            put(model, name, PackedLinear(weight, held, chosen(weight, kernel)))
        yield
    finally:
        for name, module in before.items():
            put(model, name, module)


def put(model: nn.Module, name: str, module: nn.Module) -> None:
    """Put a module in the place of the one with a dotted name."""
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)
