"""LLM-FP4's search of a product of attention: formats and biases of both operands, one bias for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from etude.compress.quantize.activation_format import float_numbers
from etude.compress.quantize.activations import calls_within
from etude.compress.quantize.float_search import (
    Choice,
    above_zero,
    bias_of,
    candidates,
    middle,
    scale_of,
    scaled,
)
from etude.compress.quantize.grids import Floats
from etude.compress.quantize.searches import least_points
from etude.models.blocks import Call
from etude.models.products import OPERANDS, operands

PRODUCTS = (("queries", "keys"), ("probabilities", "values"))


@dataclass(frozen=True)
class ProductSearch:
    """The joint search for ``left @ right``, both ``[..., rows, inner]`` and ``[..., inner, columns]``.

    As for a linear layer (`etude.compress.quantize.float_search`), but that neither operand has rows of its
    own: it has one bias. The authors' code knows the two products and a format for each operand, but lacks
    the class that rounds them; that operands are searched in turns, by the product's error, is what theirs
    does for linear layers.

    Parameters
    ----------
    left, right : of some calls, unrounded.
    formats : that are tried.
    stride : every stride-th factor of a bias is tried first, then those around the best.

    Examples
    --------
    >>> import torch
    >>> from etude.compress.quantize.float_search import formats
    >>> left = torch.rand(2, 8, 4, generator=torch.Generator().manual_seed(0)).softmax(-1)
    >>> left, right = ProductSearch(left, left.mT, formats(4), stride=8).run(rounds=2)
    >>> left.grid.name, right.error < left.error * 1.01
    ('e1m2', True)
    """

    left: Tensor
    right: Tensor
    formats: Sequence[Floats]
    stride: int

    def run(self, rounds: int) -> tuple[Choice, Choice]:
        """What is chosen of the left operand and of the right, after so many rounds.

        A round searches the left one's bias in each format with the right one rounded as chosen so far, then
        the right one's with the left one rounded so, and only then takes the best formats.
        """
        left, right = self.left, self.right.mT
        product = left @ right.mT
        lefts, rights = self.start(left), self.start(right)
        one = other = middle(self.formats)
        for _ in range(rounds):
            against = rounded(right, rights[other])
            lefts = {grid: self.best(grid, left, against, product) for grid in self.formats}
            against = rounded(left, lefts[one])
            rights = {grid: self.best(grid, right, against, product.mT) for grid in self.formats}
            one, other = (min(found, key=lambda grid: found[grid].error) for found in (lefts, rights))
        return lefts[one], rights[other]

    def start(self, x: Tensor) -> dict[Floats, Choice]:
        """Each format with its largest number on the operand's."""
        peak = above_zero(x.abs().amax())
        return {grid: Choice(grid, scale_of(grid, bias_of(grid, peak))) for grid in self.formats}

    def best(self, grid: Floats, x: Tensor, against: Tensor, product: Tensor) -> Choice:
        """The bias of ``x`` under which ``x @ against.mT`` errs least."""
        start = bias_of(grid, above_zero(x.abs().amax()))
        factors, one = candidates()

        def choice(point: Tensor) -> Choice:
            return Choice(grid, scale_of(grid, scaled(start, factors[point[0]])))

        def loss(point: Tensor) -> Tensor:
            return (rounded(x, choice(point)) @ against.mT - product).square_().sum()[None]

        point, error = least_points(loss, 1, len(factors), stride=self.stride, first=one)
        return Choice(grid, choice(point).scale, error=float(error))


def rounded(x: Tensor, choice: Choice) -> Tensor:
    """Numbers of any shape as chosen."""
    return float_numbers(choice.grid).round(x, choice.scale, None)


def search_products(
    block: nn.Module, call: Call, mask: Tensor | None, formats: Sequence[Floats], rounds: int, stride: int
) -> dict[str, Choice]:
    """What is chosen of the operands of all attentions of a block, by dotted name in the block.

    Parameters
    ----------
    block : its products open (`etude.models.products`), nothing of it rounded yet.
    call : arguments of the block for some tokens.
    mask : int64 ``[segments, length]``, 0 for padding, which is not judged; None for no padding.
    formats, rounds, stride : of the search.
    """
    names = operands(block)
    calls, _ = calls_within(block, names, call)
    heard = {name: unpadded(args[0], mask) for name, (args, _) in calls.items()}
    found: dict[str, Choice] = {}
    for attention in dict.fromkeys(name.rpartition(".")[0] for name in heard):
        found |= _of_attention(attention, heard, formats, rounds, stride)
    return found


def unpadded(x: Tensor, mask: Tensor | None) -> Tensor:
    """Rows ``[segments, heads, length, ...]`` of padding as zeros, whose products are zero and stay so."""
    return x if mask is None else x * mask[:, None, :, None]


def _of_attention(
    name: str, heard: Mapping[str, Tensor], formats: Sequence[Floats], rounds: int, stride: int
) -> dict[str, Choice]:
    queries, keys, probabilities, values = (heard[f"{name}.{operand}"] for operand in OPERANDS)
    found: dict[str, Choice] = {}
    for pair, left, right in zip(PRODUCTS, (queries, probabilities), (keys.mT, values), strict=True):
        choices = ProductSearch(left, right, formats, stride).run(rounds)
        found |= {f"{name}.{operand}": choice for operand, choice in zip(pair, choices, strict=True)}
    return found
