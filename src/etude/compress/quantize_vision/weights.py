"""Weights that a layer computes with: trained through their rounding, or stored as codes.

Each is a module called without arguments. `Latent` holds full-precision weights and rounds them at every
call; `frozen` gives what is left of one when training is over.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from etude.compress.quantize.straight_through import ends, lsq, straight_through
from etude.models.packed.bits import packed, unpacked

FLOOR = 1e-5
"""Steps that are learned never count as less."""


class Grid(nn.Module):
    """How a weight ``[rows, columns]`` is rounded: to ``step * code + base``, row by row.

    Parameters
    ----------
    bits : of a code.
    """

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits

    def forward(self, weight: Tensor) -> Tensor:
        """The rounded weight, differentiable."""
        raise NotImplementedError

    def codes(self, weight: Tensor) -> Tensor:
        """Whole numbers in ``[0, 2^bits)``, shaped like the weight."""
        raise NotImplementedError

    def line(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """``(step, base)``, each ``[rows, 1]`` or ``[1, 1]``."""
        raise NotImplementedError


class StatsQ(Grid):
    """Round to ``2^bits`` levels around zero whose scale is a statistic of the row, not a parameter.

    With ``n = 2^(bits - 1)`` and ``a = 2 mean|w|`` of each row the levels are ``a (2k + 1) / 2n``: as many
    below zero as above, none of them zero. The gradient passes straight through, clipped or not.

    Parameters
    ----------
    bits : of a weight, 1 to 8.

    Examples
    --------
    >>> StatsQ(2)(torch.tensor([[-2.0, -0.1, 0.1, 0.2, 2.6]]))
    tensor([[-1.5000, -0.5000,  0.5000,  0.5000,  1.5000]])

    References
    ----------
    Liu et al., "Oscillation-free Quantization for Low-bit Vision Transformers", ICML 2023.
    arXiv:2302.02210.
    """

    def forward(self, weight: Tensor) -> Tensor:
        """The rounded weight."""
        with torch.no_grad():
            step, base = self.line(weight)
            value = self.codes(weight) * step + base
        return straight_through(weight, value)

    def levels(self, weight: Tensor) -> Tensor:
        """Where each weight lies on the grid: whole numbers from ``-n`` to ``n - 1`` are levels."""
        n = 2 ** (self.bits - 1)
        scale = self.scale(weight)
        levels: Tensor = (weight / scale).clamp(-1, 1 - 1e-6) * n - 0.5
        return levels

    def codes(self, weight: Tensor) -> Tensor:
        """Levels counted from the lowest; what rounds to half-even below it is the lowest too."""
        n = 2 ** (self.bits - 1)
        codes: Tensor = self.levels(weight).round().clamp_(-n, n - 1) + n
        return codes

    def line(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Step and lowest level of each row."""
        n = 2 ** (self.bits - 1)
        scale = self.scale(weight)
        return scale / n, scale * (0.5 - n) / n

    def scale(self, weight: Tensor) -> Tensor:
        """``2 mean|w|`` of each row, ``[rows, 1]``."""
        return 2 * weight.abs().mean(-1, keepdim=True).clamp_min(torch.finfo(weight.dtype).tiny)

    def distance(self, weight: Tensor) -> Tensor:
        """How far each weight is, in steps, from where its code would change."""
        n = 2 ** (self.bits - 1)
        levels = self.levels(weight)
        return (levels - (levels.floor() + 0.5).clamp(0.5 - n, n - 1.5)).abs()


class LearnedSteps(Grid):
    """LSQ: signed integers times a step a row, which is trained.

    Parameters
    ----------
    bits : of a weight, 2 to 8.
    weight : ``[rows, columns]``, from which the steps start: ``2 mean|w| / sqrt(largest code)``.
    """

    def __init__(self, bits: int, weight: Tensor) -> None:
        super().__init__(bits)
        self.low, self.high = ends(bits)
        start = 2 * weight.detach().abs().mean(-1, keepdim=True) / self.high**0.5
        self.step = nn.Parameter(start.clamp_min(FLOOR))

    def forward(self, weight: Tensor) -> Tensor:
        """The rounded weight."""
        factor = (self.high * weight.shape[-1]) ** -0.5
        return lsq(weight, floored(self.step), self.low, self.high, factor=factor)

    def codes(self, weight: Tensor) -> Tensor:
        """Signed codes, counted from the lowest."""
        return (weight / floored(self.step)).round().clamp(self.low, self.high) - self.low

    def line(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Step of each row, and what its lowest code stands for."""
        step = floored(self.step)
        return step, step * self.low


def floored(step: Tensor) -> Tensor:
    """A learned step, at least `FLOOR`; the gradient does not notice."""
    return straight_through(step, step.detach().clamp_min(FLOOR))


class Latent(nn.Module):
    """A full-precision weight that is rounded whenever it is used.

    Parameters
    ----------
    weight : ``[rows, columns]``.
    grid : how it is rounded.
    """

    def __init__(self, weight: Tensor, grid: Grid) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach().clone())
        self.grid = grid

    def value(self) -> Tensor:
        """The weight before rounding, ``[rows, columns]``."""
        return self.weight

    def forward(self) -> Tensor:
        """The weight that the layer computes with."""
        rounded: Tensor = self.grid(self.value())
        return rounded

    @property
    def dtype(self) -> torch.dtype:
        """Of the numbers that it gives; transformers asks a layer's weight for it."""
        return torch.float32

    @property
    def bits(self) -> int:
        """Of a code."""
        return self.grid.bits

    @torch.no_grad()
    def codes(self) -> Tensor:
        """What the weight is rounded to, as whole numbers in ``[0, 2^bits)``, ``[rows, columns]``."""
        return self.grid.codes(self.value())

    @torch.no_grad()
    def line(self) -> tuple[Tensor, Tensor]:
        """``(step, base)`` such that the rounded weight is ``step * code + base``."""
        return self.grid.line(self.value())


class Product(Latent):
    """What queries and keys are multiplied by, head by head, rounded as one matrix.

    ``M_h = W_Qh^T W_Kh``, the heads' matrices on top of one another: ``[heads * width, width]``. Gradients
    go to both factors.

    Parameters
    ----------
    queries, keys : weights ``[heads * size, width]``.
    heads : of the attention.
    grid : makes how the product is rounded from the product.
    """

    def __init__(self, queries: Tensor, keys: Tensor, heads: int, grid: Callable[[Tensor], Grid]) -> None:
        nn.Module.__init__(self)
        self.queries = nn.Parameter(queries.detach().clone())
        self.keys = nn.Parameter(keys.detach().clone())
        self.heads = heads
        self.grid = grid(self.value().detach())

    def value(self) -> Tensor:
        """The product before rounding."""
        queries, keys = (w.view(self.heads, -1, w.shape[1]) for w in (self.queries, self.keys))
        return (queries.transpose(1, 2) @ keys).flatten(0, 1)


class Frozen(nn.Module):
    """A weight as it is stored: codes in a stream of bits, and a line ``step * code + base`` for a row.

    Parameters
    ----------
    rows, columns : of the weight.
    bits : of a code.
    ranges : rows of ``step`` and ``base``: as many as the weight has, or 1.
    """

    def __init__(self, rows: int, columns: int, bits: int, ranges: int) -> None:
        super().__init__()
        self.columns = columns
        self.bits = bits
        self.register_buffer("words", torch.zeros(rows, -(-columns * bits // 32), dtype=torch.int32))
        self.register_buffer("step", torch.zeros(ranges, 1))
        self.register_buffer("base", torch.zeros(ranges, 1))
        self._value: Tensor | None = None

    @property
    def dtype(self) -> torch.dtype:
        """See `Latent.dtype`."""
        return torch.float32

    @classmethod
    def of(cls, latent: Latent) -> Frozen:
        """What a trained weight is rounded to."""
        codes, (step, base) = latent.codes(), latent.line()
        found = cls(codes.shape[0], codes.shape[1], latent.bits, len(step))
        found.load_state_dict({"words": packed(codes, found.bits), "step": step, "base": base})
        return found

    def forward(self) -> Tensor:
        """The weight, decoded at the first call."""
        if self._value is None:
            codes = unpacked(self.words, self.bits, self.columns)  # type: ignore[arg-type]
            self._value = codes * self.step + self.base  # type: ignore[operator]
        return self._value

    def stored_bits(self) -> int:
        """Bits that the weight takes: its codes, and 32 for each step and each base."""
        ranges = self.step.numel() + self.base.numel()  # type: ignore[operator]
        return int(len(self.words) * self.columns * self.bits + 32 * ranges)  # type: ignore[arg-type]


def freeze(model: nn.Module) -> None:
    """Put what is stored in the place of every weight that was trained."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Latent):
                setattr(module, name, Frozen.of(child))
