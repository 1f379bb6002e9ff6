"""An encoder whose lower layers read two segments apart, and whose upper layers read them together."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from etude.errors import InputError
from etude.models.blocks import find_blocks


@dataclass(frozen=True)
class Segment:
    """One of the two texts of each pair.

    Parameters
    ----------
    ids : tokens, int64 ``[pairs, tokens]``.
    real : which of them are no padding, bool.
    positions : of the tokens in their pair, int64.
    kind : 0 for the first text, 1 for the second: the segment embedding.
    """

    ids: Tensor
    real: Tensor
    positions: Tensor
    kind: int


class Pyramid(nn.Module):
    """A stock encoder, run as a pyramid; its weights and its code stay as they are.

    In layers below ``low`` a text sees itself only, which is what a block-diagonal attention mask says; here
    the texts go through these layers apart, so that it is also cheaper. From layer ``low`` on both see both.
    With ``low`` 0 it is an ordinary cross-encoder; with as many as there are layers, two towers.

    Parameters
    ----------
    encoder : any encoder of transformers with absolute positions, whose blocks take an attention mask.
    low : layers that read the texts apart.

    Raises
    ------
    InputError : naming ``model``, if the encoder cannot be run like this; ``low``, if it has fewer layers.
    """

    def __init__(self, encoder: Any, low: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.low = low
        self._taken = set(inspect.signature(encoder.forward).parameters)
        if "position_ids" not in self._taken or getattr(encoder.config, "is_decoder", False):
            raise InputError("model", f"{type(encoder).__name__} is no encoder that can be told positions")
        if low > len(self._blocks):
            raise InputError("low", f"is {low}, and the model has {len(self._blocks)} layers")

    @property
    def _blocks(self) -> nn.ModuleList:
        return find_blocks(self.encoder)[1]

    def forward(self, first: Segment, second: Segment) -> Tensor:
        """Hidden states of both texts, ``[pairs, tokens of the first + of the second, width]``."""
        if self.low == 0:
            return self._run([first, second], mask=joint(first, second))
        if self.low == len(self._blocks):
            return torch.cat([self._run([part], mask=own(part)) for part in (first, second)], dim=1)
        below = self._lower(first)
        with self._joined(below, joint(first, second)) as mine:
            return self._run([second], mask=mine.fill(second))

    def _run(self, parts: list[Segment], mask: Tensor) -> Tensor:
        given = {
            "input_ids": torch.cat([part.ids for part in parts], dim=1),
            "attention_mask": mask,
            "position_ids": torch.cat([part.positions for part in parts], dim=1),
            "token_type_ids": torch.cat([torch.full_like(part.ids, part.kind) for part in parts], dim=1),
        }
        taken = {name: value for name, value in given.items() if name in self._taken}
        hidden: Tensor = self.encoder(**taken).last_hidden_state
        return hidden

    def _lower(self, part: Segment) -> Tensor:
        """What enters layer ``low`` of a text that goes alone."""
        caught: list[Tensor] = []

        def stop(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            caught.append(args[0] if args else kwargs["hidden_states"])
            raise _Reached

        handle = self._blocks[self.low].register_forward_pre_hook(stop, with_kwargs=True)
        try:
            with suppress(_Reached):  # raised by the hook: what comes behind this layer is not wanted
                self._run([part], mask=own(part))
        finally:
            handle.remove()
        return caught[0]

    @contextmanager
    def _joined(self, below: Tensor, both: Tensor) -> Iterator[_Mask]:
        """From layer ``low`` on, what runs alone runs behind ``below``, and under the mask of both."""
        mine = _Mask()

        def swap(value: Any) -> Any:
            return both if value is mine.mask else value

        def enter(block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if kwargs.get("position_embeddings") is not None:
                raise InputError("model", "turns positions inside its layers, where the texts are joined")
            changed = tuple(map(swap, args)), {name: swap(value) for name, value in kwargs.items()}
            if all(
                a is b
                for a, b in zip((*args, *kwargs.values()), (*changed[0], *changed[1].values()), strict=True)
            ):
                raise InputError("model", "does not hand a mask of four dimensions on to its layers")
            if block is self._blocks[self.low]:
                return self._behind(below, *changed)
            return changed

        handles = [b.register_forward_pre_hook(enter, with_kwargs=True) for b in self._blocks[self.low :]]
        try:
            yield mine
        finally:
            for handle in handles:
                handle.remove()

    @staticmethod
    def _behind(below: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            return (torch.cat([below, args[0]], dim=1), *args[1:]), kwargs
        return args, kwargs | {"hidden_states": torch.cat([below, kwargs["hidden_states"]], dim=1)}


class _Reached(Exception):
    """Ends a run in front of the layer where the texts are joined."""


class _Mask:
    """The mask of a run, known again where it comes to a layer."""

    mask: Tensor | None = None

    def fill(self, part: Segment) -> Tensor:
        self.mask = own(part)
        return self.mask


def own(part: Segment) -> Tensor:
    """The additive mask of a text that sees itself, ``[pairs, 1, tokens, tokens]``."""
    return additive(part.real[:, None, None, :].expand(-1, -1, part.real.shape[1], -1))


def joint(first: Segment, second: Segment) -> Tensor:
    """The additive mask of two texts that see each other."""
    real = torch.cat([first.real, second.real], dim=1)
    return additive(real[:, None, None, :].expand(-1, -1, real.shape[1], -1))


def block_diagonal(first: Segment, second: Segment) -> Tensor:
    """The additive mask of two texts of which each sees itself only: what the lower layers compute under."""
    real = torch.cat([first.real, second.real], dim=1)
    second_one = torch.arange(real.shape[1]) >= first.real.shape[1]
    return additive(real[:, None, None, :] & (second_one[:, None] == second_one))


def additive(seen: Tensor) -> Tensor:
    """0 where a token sees another, the least number where it does not."""
    return torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)


def attention_cost(query: int, title: int, summary: int, low: int, layers: int) -> int:
    """Pairs of tokens that attend to each other in all layers.

    Examples
    --------
    >>> pyramid, full = (attention_cost(12, 20, 100, low=low, layers=12) for low in (9, 0))
    >>> round(pyramid / full, 3)
    0.725
    """
    first = query + title
    return low * (first**2 + summary**2) + (layers - low) * (first + summary) ** 2
