"""NTK-aware scaling of rotary positions."""

from __future__ import annotations

import math
from typing import Annotated

import annotated_types as at

from etude.method import method
from etude.search.embedder import Embedder
from etude.search.long.encoder import LongEncoder, check_embedder
from etude.search.long.extension import Extension, check_target
from etude.search.long.growing import check_rotary, with_rotation


@method("ntk", task="long-retrieval", paper="longembed")
class NTK:
    """Turn rotary positions with a larger base: fast turns stay as they are, slow ones become slower.

    ``theta_j = (base * factor) ** (-2 j / d)``.

    Parameters
    ----------
    factor : by which the base is multiplied, at least 1; None for a little more than the window grows, as in
        the paper: 3, 5 and 10 for 2, 4 and 8 times the window.
    temperature : whether attention is sharpened by ``max(1, log L / log original)`` in a text of L tokens.

    Raises
    ------
    InputError : if a field is out of range, or an argument does not fit.

    Examples
    --------
    >>> from etude.search.long.rotary import untrained
    >>> encoder = NTK().extend(untrained(), target=128)
    >>> encoder.embedder.model.config.rope_parameters["rope_theta"]
    30000.0

    References
    ----------
    Zhu et al., "LongEmbed: Extending Embedding Models for Long Context Retrieval", EMNLP 2024.
    arXiv:2404.12096.
    """

    factor: Annotated[float | None, at.Ge(1)] = None
    temperature: bool = True

    def check(self, encoder: Embedder, target: int) -> None:
        """Raise `InputError` if the encoder has no rotary positions, or the target is below its window."""
        check_embedder(encoder)
        check_target(target, encoder.window)
        check_rotary(encoder.model)

    def extend(self, encoder: Embedder, target: int) -> LongEncoder:
        """Stretch the window to ``target`` tokens."""
        self.check(encoder, target)
        base = float(check_rotary(encoder.model)["rope_theta"])
        extension = Extension(encoder.window, target, temperature=self.temperature)
        factor = self.factor or (math.ceil(1.25 * extension.scale) if extension.scale > 1 else 1)
        turned = with_rotation(encoder.model, target, rope_theta=base * factor)
        return LongEncoder.of(encoder, turned, extension)
