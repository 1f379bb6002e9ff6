"""MaxP: a text in pieces, of which the best counts."""

from __future__ import annotations

from etude.method import method
from etude.search.embedder import Embedder
from etude.search.long.encoder import LongEncoder, check_embedder
from etude.search.long.extension import Extension, check_target


@method("max-passage", task="long-retrieval")
class MaxPassage:
    """Cut a text into windows, keep the vector of each, and let a query's best match count.

    As `ParallelWindows`, but with as many vectors as windows: what is said in one place is not averaged away.


    Raises
    ------
    InputError : if a field is out of range, or an argument does not fit.

    Examples
    --------
    >>> from etude.search.embedder import Embedder
    >>> encoder = MaxPassage().extend(Embedder.load("minilm"), target=1024)
    >>> encoder.encode(["a cat " * 400, "a cat"]).owners.tolist()
    [0, 0, 1]

    References
    ----------
    Dai and Callan, "Deeper Text Understanding for IR with Contextual Neural Language Modeling", SIGIR 2019.
    arXiv:1905.09217.
    """

    def extend(self, encoder: Embedder, target: int) -> LongEncoder:
        """Stretch the window to ``target`` tokens."""
        check_embedder(encoder)
        check_target(target, encoder.window)
        extension = Extension(encoder.window, target, temperature=False)
        return LongEncoder.of(encoder, encoder.model, extension, windows="max")
