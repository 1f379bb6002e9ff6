"""LRR: log-likelihood against log-rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from etude.explain.detection.reading import Reading
from etude.explain.detection.scorer import ZeroShot, per_text
from etude.method import method


@method("lrr", task="detection")
class LRR(ZeroShot):
    """Score a text by minus its mean log-probability over its mean log-rank.

    A text whose every token is the likeliest has a log-rank of 0; 1e-6 stands for it.

    Examples
    --------
    >>> import etude
    >>> from etude.explain.detection.reading import Reader
    >>> reader = Reader(*etude.models.load("nano-llama"))
    >>> readings = reader.read(["It was a good thing to do.", "It fig a sofa to egg."])
    >>> likely, odd = LRR().fit(readings)(readings)
    >>> bool(likely > odd)
    True

    References
    ----------
    Su et al., "DetectLLM: Leveraging Log Rank Information for Zero-Shot Detection of Machine-Generated
    Text", Findings of EMNLP 2023. arXiv:2306.05540.
    """

    def score(self, tensors: Mapping[str, Tensor], readings: Sequence[Reading]) -> Tensor:
        """Ratios, ``[readings]``."""
        return per_text(readings, _ratio)


def _ratio(reading: Reading) -> Tensor:
    return -reading.metric("next_token_log_probs").mean() / reading.ranks.log().mean().clamp(min=1e-6)
