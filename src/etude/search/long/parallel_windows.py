"""Parallel context windows: a text in pieces, and the mean of their vectors."""

from __future__ import annotations

from etude.method import method
from etude.search.embedder import Embedder
from etude.search.long.encoder import LongEncoder, check_embedder
from etude.search.long.extension import Extension, check_target


@method("parallel-windows", task="long-retrieval", paper="longembed")
class ParallelWindows:
    """Cut a text into windows of the original size, encode each, and take the mean of their vectors.

    Windows do not overlap; the last is moved to the left, so that it is full. Their vectors are not normed
    before the mean, which is normed.


    Raises
    ------
    InputError : if a field is out of range, or an argument does not fit.

    Examples
    --------
    >>> from etude.search.embedder import Embedder
    >>> encoder = ParallelWindows().extend(Embedder.load("minilm"), target=1024)
    >>> encoder.encode(["a cat " * 400, "a cat"]).values.shape
    torch.Size([2, 384])

    References
    ----------
    Zhu et al., "LongEmbed: Extending Embedding Models for Long Context Retrieval", EMNLP 2024.
    arXiv:2404.12096.
    """

    def extend(self, encoder: Embedder, target: int) -> LongEncoder:
        """Stretch the window to ``target`` tokens."""
        check_embedder(encoder)
        check_target(target, encoder.window)
        extension = Extension(encoder.window, target, temperature=False)  # no window is longer than it was
        return LongEncoder.of(encoder, encoder.model, extension, windows="mean")
