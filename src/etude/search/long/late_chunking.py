"""Late chunking: states of a whole window, averaged over short spans."""

from __future__ import annotations

from typing import Annotated

import annotated_types as at

from etude.method import method
from etude.search.embedder import Embedder
from etude.search.long.encoder import LongEncoder, check_embedder
from etude.search.long.extension import Extension, check_target


@method("late-chunking", task="long-retrieval")
class LateChunking:
    """Encode windows of the original size, average their states over spans, and keep the vector of each span.

    Every token has seen its window before it is averaged with its neighbours; a query's best match counts.

    Parameters
    ----------
    span : tokens of a span.

    Raises
    ------
    InputError : if a field is out of range, or an argument does not fit.

    Examples
    --------
    >>> from etude.search.embedder import Embedder
    >>> encoder = LateChunking(span=64).extend(Embedder.load("minilm"), target=1024)
    >>> encoder.encode(["a cat " * 40, "a cat"]).owners.tolist()
    [0, 0, 1]

    References
    ----------
    Günther et al., "Late Chunking: Contextual Chunk Embeddings Using Long-Context Embedding Models", 2024.
    arXiv:2409.04701.
    """

    span: Annotated[int, at.Ge(1)] = 128

    def extend(self, encoder: Embedder, target: int) -> LongEncoder:
        """Stretch the window to ``target`` tokens."""
        check_embedder(encoder)
        check_target(target, encoder.window)
        extension = Extension(encoder.window, target, temperature=False)
        return LongEncoder.of(encoder, encoder.model, extension, windows="late", span=self.span)
