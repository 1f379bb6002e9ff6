"""Where an encoder believes its tokens to stand once its window is stretched.

``original`` is the number of positions that it was trained with, ``target`` how many it shall read, and
``s = ceil(target / original)``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from etude.errors import InputError

Positions = Literal["plain", "grouped", "recurrent", "spread"]


@dataclass(frozen=True)
class Extension:
    """How a window is stretched.

    Parameters
    ----------
    original : tokens that the encoder was trained to read, special ones included.
    target : tokens that it shall read, at most.
    positions : of the i-th token of a text of L tokens: i ("plain"); ``i // ceil(L / original)`` ("grouped");
        ``i mod original`` ("recurrent"); ``i s`` if L is at most ``original``, else i ("spread", for a matrix
        of interpolated positions).
    group : how many neighbouring distances SelfExtend makes one; 1 for none.
    neighbours : distances below this stay as they are in SelfExtend.
    temperature : whether attention is sharpened by ``max(1, log L / log original)``, L being a text's own
        length without padding.
    """

    original: int
    target: int
    positions: Positions = "plain"
    group: int = 1
    neighbours: int = 0
    temperature: bool = True

    @property
    def scale(self) -> int:
        """How many times longer."""
        return math.ceil(self.target / self.original)

    def places(self, lengths: Tensor, width: int) -> Tensor:
        """Position of every token, int64 ``[texts, width]``; behind a text's end they mean nothing.

        Parameters
        ----------
        lengths : tokens of each text, ``[texts]``.
        width : tokens of the longest, or more.

        Examples
        --------
        >>> Extension(original=4, target=8, positions="grouped").places(torch.tensor([6, 4]), 6).tolist()
        [[0, 0, 1, 1, 2, 2], [0, 1, 2, 3, 3, 3]]
        >>> Extension(original=4, target=8, positions="recurrent").places(torch.tensor([6]), 6).tolist()
        [[0, 1, 2, 3, 0, 1]]
        >>> Extension(original=4, target=8, positions="spread").places(torch.tensor([6, 4]), 6).tolist()
        [[0, 1, 2, 3, 4, 5], [0, 2, 4, 6, 6, 6]]
        """
        plain = torch.arange(width).expand(len(lengths), -1)
        if self.positions == "recurrent":
            return plain % self.original
        ends = lengths[:, None] - 1
        if self.positions == "grouped":
            return plain.clamp(max=ends) // -(-lengths // self.original)[:, None]
        if self.positions == "spread":
            factor = torch.where(lengths <= self.original, self.scale, 1)[:, None]
            return plain.clamp(max=ends) * factor
        return plain

    def temperatures(self, lengths: Tensor) -> Tensor:
        """By what the attention of each text is sharpened, ``[texts]``.

        Examples
        --------
        >>> Extension(original=512, target=4096).temperatures(torch.tensor([100, 4096])).tolist()
        [1.0, 1.3333333730697632]
        """
        if not self.temperature:
            return torch.ones(len(lengths))
        return (lengths.float().log() / math.log(self.original)).clamp(min=1.0)

    def groups(self, lengths: Tensor) -> Tensor:
        """SelfExtend's group of each text, ``[texts]``: 1 where a text fits in the original window."""
        return torch.where(lengths <= self.original, 1, self.group)

    def shifts(self, lengths: Tensor, width: int) -> tuple[Tensor, Tensor]:
        """By how much SelfExtend moves far tokens: ``i // group - i``, and what it adds on the later side.

        Returns
        -------
        (shift, lead) : int64 ``[texts, width]`` and ``[texts, 1]``; ``lead = w - w // group``.
        """
        groups = self.groups(lengths)[:, None]
        places = torch.arange(width)[None]
        return places // groups - places, self.neighbours - self.neighbours // groups

    def distances(self, length: int) -> Tensor:
        """Distance from token q to token k as SelfExtend has it, ``[length, length]``; positive for k > q.

        Examples
        --------
        >>> table = Extension(original=4, target=10, group=2, neighbours=4).distances(10)
        >>> table[0].tolist(), table[4].tolist()
        ([0, 1, 2, 3, 4, 4, 5, 5, 6, 6], [-4, -3, -2, -1, 0, 1, 2, 3, 4, 4])
        """
        shift, lead = (each[0] for each in self.shifts(torch.tensor([length]), length))
        places = torch.arange(length)
        near = places[None] - places[:, None]
        far = near + shift[None] - shift[:, None] + near.sign() * lead
        return torch.where(near.abs() < self.neighbours, near, far)


def check_target(target: int, original: int) -> None:
    """Raise `InputError` unless the window is to become longer, or stay as it is."""
    if isinstance(target, bool) or not isinstance(target, int) or target < original:
        raise InputError(
            "target", f"{target!r} is not {original} tokens, which the encoder reads now, or more"
        )
