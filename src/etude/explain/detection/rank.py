"""Rank: machines write tokens that stand near the top of the model's list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from etude.explain.detection.reading import Reading
from etude.explain.detection.scorer import ZeroShot, per_text
from etude.method import method


@method("rank", task="detection")
class Rank(ZeroShot):
    """Score a text by the mean rank of its tokens, negated.

    Of equal probabilities the worst place counts. A few odd tokens outweigh all others: `LogRank` tames them.

    Examples
    --------
    >>> import etude
    >>> from etude.explain.detection.reading import Reader
    >>> reader = Reader(*etude.models.load("nano-llama"))
    >>> readings = reader.read(["It was a good thing to do.", "It fig a sofa to egg."])
    >>> likely, odd = Rank().fit(readings)(readings)
    >>> bool(likely > odd)
    True

    References
    ----------
    Gehrmann et al., "GLTR: Statistical Detection and Visualization of Generated Text", ACL 2019.
    arXiv:1906.04043.
    """

    def score(self, tensors: Mapping[str, Tensor], readings: Sequence[Reading]) -> Tensor:
        """Minus the mean rank, ``[readings]``."""
        return per_text(readings, lambda reading: -reading.ranks.mean())
