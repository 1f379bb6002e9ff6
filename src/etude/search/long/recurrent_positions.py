"""Recurrent positions: they begin anew behind the last."""

from __future__ import annotations

from etude.method import method
from etude.search.embedder import Embedder
from etude.search.long.encoder import LongEncoder, check_embedder
from etude.search.long.extension import Extension, check_target


@method("recurrent-positions", task="long-retrieval", paper="longembed")
class RecurrentPositions:
    """Begin again at position 0 behind the last one: token i stands at ``i mod original``.

    A text that fits in the window keeps its vector.

    Parameters
    ----------
    temperature : whether attention is sharpened by ``max(1, log L / log original)`` in a text of L tokens.

    Raises
    ------
    InputError : if a field is out of range, or an argument does not fit.

    Examples
    --------
    >>> from etude.search.embedder import Embedder
    >>> encoder = RecurrentPositions().extend(Embedder.load("minilm"), target=1024)
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
        extension = Extension(encoder.window, target, positions="recurrent", temperature=self.temperature)
        return LongEncoder.of(encoder, encoder.model, extension)
