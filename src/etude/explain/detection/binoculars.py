"""Binoculars: how surprising a text is, against how surprising one model finds another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from etude.explain.detection.reading import Reading
from etude.explain.detection.scorer import ZeroShot, per_text
from etude.method import method


@method("binoculars", task="detection")
class Binoculars(ZeroShot):
    """Score a text by its log-perplexity over the cross-perplexity of two models, negated.

    ``mean_i log p(x_i) / -mean_i sum_v q_i(v) log p_i(v)``, where q is the reader's observer; without one
    q is p, and the denominator is the mean entropy. Published thresholds belong to one pair of models only.

    Examples
    --------
    >>> import etude
    >>> from etude.explain.detection.reading import Reader
    >>> reader = Reader(*etude.models.load("nano-llama"))
    >>> readings = reader.read(["It was a good thing to do.", "It fig a sofa to egg."])
    >>> likely, odd = Binoculars().fit(readings)(readings)
    >>> bool(likely > odd)
    True

    References
    ----------
    Hans et al., "Spotting LLMs With Binoculars: Zero-Shot Detection of Machine-Generated Text", ICML 2024.
    arXiv:2401.12070.
    """

    def score(self, tensors: Mapping[str, Tensor], readings: Sequence[Reading]) -> Tensor:
        """Minus the ratios, ``[readings]``."""
        return per_text(readings, _ratio)


def _ratio(reading: Reading) -> Tensor:
    crossed = -reading.moments[:, 0].mean()
    return reading.metric("next_token_log_probs").mean() / crossed.clamp(min=1e-6)
