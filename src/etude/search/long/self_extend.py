"""SelfExtend: near tokens at their distance, far ones at a rough one."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import annotated_types as at

from etude.errors import InputError
from etude.method import method
from etude.search.embedder import Embedder
from etude.search.long.encoder import LongEncoder, check_embedder
from etude.search.long.extension import Extension, check_target
from etude.search.long.growing import check_rotary


@method("self-extend", task="long-retrieval", paper="longembed")
class SelfExtend:
    """Keep distances below ``neighbours`` as they are, and make ``group`` neighbouring far ones one distance.

    For encoders with rotary positions, which look both ways: in front of a token as behind it. Two matrices
    of scores, near and far, are merged before the softmax. A text that fits in the original window keeps its
    vector.

    Parameters
    ----------
    group : far distances that become one; None for one more than the times that the window grows, as in the
        paper.
    neighbours : distances that stay, below this; None for the original window through the times it grows.
    temperature : whether attention is sharpened by ``max(1, log L / log original)`` in a text of L tokens.

    Raises
    ------
    InputError : if a field is out of range, or an argument does not fit.

    Examples
    --------
    >>> from etude.search.long.rotary import untrained
    >>> encoder = SelfExtend().extend(untrained(), target=128)
    >>> encoder.extension.group, encoder.extension.neighbours
    (3, 32)

    References
    ----------
    Zhu et al., "LongEmbed: Extending Embedding Models for Long Context Retrieval", EMNLP 2024.
    arXiv:2404.12096.
    """

    group: Annotated[int | None, at.Ge(1)] = None
    neighbours: Annotated[int | None, at.Ge(0)] = None
    temperature: bool = True

    def check(self, encoder: Embedder, target: int) -> None:
        """Raise `InputError` if the encoder has no rotary positions, or has not learnt such distances."""
        check_embedder(encoder)
        check_target(target, encoder.window)
        check_rotary(encoder.model)
        stretched = self._extension(encoder, target)
        group, near = stretched.group, stretched.neighbours
        longest = (target - 1) // group + near - near // group
        if longest > encoder.window:
            raise InputError(
                "group" if self.group else "target",
                f"distances of up to {longest} are more than the encoder has learnt, {encoder.window}",
            )

    def extend(self, encoder: Embedder, target: int) -> LongEncoder:
        """Stretch the window to ``target`` tokens."""
        self.check(encoder, target)
        return LongEncoder.of(encoder, encoder.model, self._extension(encoder, target))

    def _extension(self, encoder: Embedder, target: int) -> Extension:
        plain = Extension(encoder.window, target, temperature=self.temperature)
        group = self.group or (plain.scale + 1 if plain.scale > 1 else 1)
        near = encoder.window // plain.scale if self.neighbours is None else self.neighbours
        return replace(plain, group=group, neighbours=near)
