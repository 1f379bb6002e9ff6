"""Log-rank: machines write tokens that stand near the top of the model's list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from etude.explain.detection.reading import Reading
from etude.explain.detection.scorer import ZeroShot, per_text
from etude.method import method


@method("log-rank", task="detection")
class LogRank(ZeroShot):
    """Score a text by the mean logarithm of the ranks of its tokens, negated.

    Of equal probabilities the worst place counts.

    Examples
    --------
    >>> import etude
    >>> from etude.explain.detection.reading import Reader
    >>> reader = Reader(*etude.models.load("nano-llama"))
    >>> readings = reader.read(["It was a good thing to do.", "It fig a sofa to egg."])
    >>> likely, odd = LogRank().fit(readings)(readings)
    >>> bool(likely > odd)
    True

    References
    ----------
    Gehrmann et al., "GLTR: Statistical Detection and Visualization of Generated Text", ACL 2019.
    arXiv:1906.04043.
    """

    def score(self, tensors: Mapping[str, Tensor], readings: Sequence[Reading]) -> Tensor:
        """Minus the mean log-rank, ``[readings]``."""
        return per_text(readings, lambda reading: -reading.ranks.log().mean())
