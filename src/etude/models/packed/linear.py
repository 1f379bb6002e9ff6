"""A linear layer over a packed weight."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from etude.models.packed.kernels import DECODING, Choice, Kernel, Product
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

    def forward(self, x: Tensor) -> Tensor:
        """``[..., in]`` to ``[..., out]``."""
        rows = x.reshape(-1, self.in_features)
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
