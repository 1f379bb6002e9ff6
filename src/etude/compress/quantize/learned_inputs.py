"""Static ranges of what enters a layer, learned while its weights are: LSQ's steps, LSQ+'s offsets."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from etude.compress.quantize.straight_through import lsq, straight_through
from etude.models.inputs import InputRounding
from etude.models.numbers import Numbers

SHRINKS = 40
"""Ranges that are tried at the start: that of the extremes times ``1, 1 - 1/40, ...``."""
SMALLEST = 2.0**-24
"""Of a step, which has to stay above 0."""


class LearnedInputs:
    """Rounds what enters a layer to whole numbers whose step, and zero if there is one, is learned.

    A hook in front of the layer while it is trained. The zero is whole in the forward pass, so that what is
    stored is what was trained.

    Parameters
    ----------
    numbers : whole ones, around 0 (LSQ) or from 0 up (LSQ+, whose offset is ``-zero * step``).
    x : a sample of what enters, ``[..., features]``; the range begins where it is rounded with the least
        squared error.

    Examples
    --------
    >>> import torch
    >>> x = torch.linspace(-1, 1, 64).repeat(50)
    >>> found = LearnedInputs(Numbers.whole(4), torch.cat([x, torch.tensor([4.0])])[:, None])
    >>> bool(found.step < 4 / 7.5)
    True

    References
    ----------
    Esser et al., "Learned Step Size Quantization", ICLR 2020. arXiv:1902.08153. Bhalgat et al., "LSQ+:
    Improving low-bit quantization through learnable offsets and better initialization", CVPR Workshops
    2020. arXiv:2004.09576.
    """

    def __init__(self, numbers: Numbers, x: Tensor) -> None:
        self.numbers = numbers
        step, zero = least_squares(numbers, x.detach())
        self.step = step.clone().requires_grad_()
        self.zero = None if zero is None else zero.clone().requires_grad_()
        self.features = x.shape[-1]

    def parameters(self) -> list[Tensor]:
        """The step, and the zero if there is one."""
        return [self.step] if self.zero is None else [self.step, self.zero]

    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Round the first argument of a layer."""
        x = args[0]
        low, high = int(self.numbers.lowest), int(self.numbers.largest)
        step = straight_through(self.step, self.step.detach().clamp(min=SMALLEST))
        offset = None
        if self.zero is not None:
            offset = -straight_through(self.zero, self._zero()) * step
            offset = offset.view([1] * x.ndim)
        factor = (self.features * high) ** -0.5
        return (lsq(x, step.view([1] * x.ndim), low, high, offset=offset, factor=factor), *args[1:])

    def hardened(self) -> InputRounding:
        """The rounding that stays in front of the layer."""
        zero = None if self.zero is None else self._zero()
        return InputRounding(self.numbers, "tensor", self.step.detach().clamp(min=SMALLEST), zero)

    def _zero(self) -> Tensor:
        assert self.zero is not None
        return self.zero.detach().round().clamp(self.numbers.lowest, self.numbers.largest)


def least_squares(numbers: Numbers, x: Tensor) -> tuple[Tensor, Tensor | None]:
    """The scale and zero, shrunk from those of the extremes, that round ``x`` with the least error."""
    low, high = x.min(), x.max()
    shares = [1 - step / SHRINKS for step in range(SHRINKS - 1)]
    ranges = [numbers.between(low * share, high * share) for share in shares]
    errors = [float((numbers.round(x, *each) - x).square().sum()) for each in ranges]
    return ranges[errors.index(min(errors))]
