"""What every embedder does with a long text: read its beginning."""

from __future__ import annotations

from etude.method import method
from etude.search.embedder import Embedder
from etude.search.long.encoder import LongEncoder, check_embedder
from etude.search.long.extension import Extension, check_target


@method("truncation", task="long-retrieval")
class Truncation:
    """Read the beginning of a text, as far as the window goes, and nothing of the rest.

    What encoders do by themselves; all ways to stretch a window have to beat it.


    Raises
    ------
    InputError : if a field is out of range, or an argument does not fit.

    Examples
    --------
    >>> from etude.search.embedder import Embedder
    >>> encoder = Truncation().extend(Embedder.load("minilm"), target=1024)
    >>> encoder.encode(["a cat " * 400, "a cat"]).values.shape
    torch.Size([2, 384])

    """

    def extend(self, encoder: Embedder, target: int) -> LongEncoder:
        """Stretch the window to ``target`` tokens."""
        check_embedder(encoder)
        check_target(target, encoder.window)
        extension = Extension(encoder.window, encoder.window)
        return LongEncoder.of(encoder, encoder.model, extension)
