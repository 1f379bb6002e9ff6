"""Log-likelihood: machines write what a language model finds likely."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from etude.explain.detection.reading import Reading
from etude.explain.detection.scorer import ZeroShot, per_text
from etude.method import method


@method("log-likelihood", task="detection")
class LogLikelihood(ZeroShot):
    """Score a text by the mean log-probability of its tokens.

    No training: only a threshold is to be set.

    Examples
    --------
    >>> import etude
    >>> from etude.explain.detection.reading import Reader
    >>> reader = Reader(*etude.models.load("nano-llama"))
    >>> readings = reader.read(["It was a good thing to do.", "It fig a sofa to egg."])
    >>> likely, odd = LogLikelihood().fit(readings)(readings)
    >>> bool(likely > odd)
    True
    """

    def score(self, tensors: Mapping[str, Tensor], readings: Sequence[Reading]) -> Tensor:
        """Mean log-probability in nats, ``[readings]``."""
        return per_text(readings, lambda reading: reading.metric("next_token_log_probs").mean())
