"""Grouped positions: neighbours share one."""

from __future__ import annotations

from etude.method import method
from etude.search.embedder import Embedder
from etude.search.long.encoder import LongEncoder, check_embedder
from etude.search.long.extension import Extension, check_target


@method("grouped-positions", task="long-retrieval", paper="longembed")
class GroupedPositions:
    """Give ``ceil(L / original)`` neighbouring tokens of a text of L tokens the same position.

    The factor is that of the text itself, not of the longest beside it, so that which others are encoded with
    it changes nothing, and a text that fits in the window keeps its vector.

    Parameters
    ----------
    temperature : whether attention is sharpened by ``max(1, log L / log original)`` in a text of L tokens.

    Raises
    ------
    InputError : if a field is out of range, or an argument does not fit.

    Examples
    --------
    >>> from etude.search.embedder import Embedder
    >>> encoder = GroupedPositions().extend(Embedder.load("minilm"), target=1024)
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
        extension = Extension(encoder.window, target, positions="grouped", temperature=self.temperature)
        return LongEncoder.of(encoder, encoder.model, extension)
