"""Fast-DetectGPT: is the text likelier than what the model itself would have written?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from etude.explain.detection.reading import Reading
from etude.explain.detection.scorer import ZeroShot, per_text
from etude.method import method


@method("fast-detectgpt", task="detection")
class FastDetectGPT(ZeroShot):
    """Score a text by its log-probability against that of texts drawn from the model, in standard deviations.

    ``(sum_i log p(x_i) - sum_i mu_i) / sqrt(sum_i var_i)``, where ``mu_i`` and ``var_i`` are those of the
    log-probability of a token drawn at position i: in closed form, without sampling. They are drawn from the
    reader's observer where it has one, else from the model.

    Examples
    --------
    >>> import etude
    >>> from etude.explain.detection.reading import Reader
    >>> reader = Reader(*etude.models.load("nano-llama"))
    >>> readings = reader.read(["It was a good thing to do.", "It fig a sofa to egg."])
    >>> likely, odd = FastDetectGPT().fit(readings)(readings)
    >>> bool(likely > odd)
    True

    References
    ----------
    Bao et al., "Fast-DetectGPT: Efficient Zero-Shot Detection of Machine-Generated Text via Conditional
    Probability Curvature", ICLR 2024. arXiv:2310.05130.
    """

    def score(self, tensors: Mapping[str, Tensor], readings: Sequence[Reading]) -> Tensor:
        """Standard deviations above what is expected, ``[readings]``."""
        return per_text(readings, _curvature)


def _curvature(reading: Reading) -> Tensor:
    expected, variance = reading.moments.double().sum(0)
    excess = reading.metric("next_token_log_probs").double().sum() - expected
    curvature: Tensor = excess / variance.sqrt().clamp(min=1e-6)
    return curvature
