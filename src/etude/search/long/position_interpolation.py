"""Position interpolation: new positions between the old ones."""

from __future__ import annotations

from dataclasses import replace

from etude.method import method
from etude.search.embedder import Embedder
from etude.search.long.encoder import LongEncoder, check_embedder
from etude.search.long.extension import Extension, check_target
from etude.search.long.growing import interpolated, positions_of, with_matrix, with_rotation


@method("position-interpolation", task="long-retrieval", paper="longembed")
class PositionInterpolation:
    """Put new positions between the old ones: ``s - 1`` after each, with ``s = ceil(target / original)``.

    Learned positions become a longer matrix, in which every s-th row is an old one and those between lie on a
    line; a text that fits in the original window takes the old rows and keeps its vector. Rotary positions m
    become ``m / s``, whatever the length.

    Parameters
    ----------
    temperature : whether attention is sharpened by ``max(1, log L / log original)`` in a text of L tokens.

    Raises
    ------
    InputError : if a field is out of range, or an argument does not fit.

    Examples
    --------
    >>> from etude.search.embedder import Embedder
    >>> encoder = PositionInterpolation().extend(Embedder.load("minilm"), target=1024)
    >>> encoder.encode(["a cat " * 400, "a cat"]).values.shape
    torch.Size([2, 384])

    References
    ----------
    Zhu et al., "LongEmbed: Extending Embedding Models for Long Context Retrieval", EMNLP 2024.
    arXiv:2404.12096.
    """

    temperature: bool = True

    def extend(self, encoder: Embedder, target: int) -> LongEncoder:
        """Stretch the window to ``target`` tokens."""
        check_embedder(encoder)
        check_target(target, encoder.window)
        model, known = encoder.model, positions_of(encoder.model)
        extension = Extension(encoder.window, target, temperature=self.temperature)
        if known is None:
            grown = with_rotation(model, target, rope_type="linear", factor=float(extension.scale))
            return LongEncoder.of(encoder, grown, extension)
        grown = with_matrix(model, interpolated(known.weight.detach(), extension.scale))
        return LongEncoder.of(encoder, grown, replace(extension, positions="spread"))
