"""Detection: did a person write a text, or a language model?

`Detector` needs scikit-learn and is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from etude.explain.detection.binoculars import Binoculars
from etude.explain.detection.entropy import Entropy
from etude.explain.detection.fast_detectgpt import FastDetectGPT
from etude.explain.detection.gltr import GLTR
from etude.explain.detection.log_likelihood import LogLikelihood
from etude.explain.detection.log_rank import LogRank
from etude.explain.detection.lrr import LRR
from etude.explain.detection.pawn import Pawn

if TYPE_CHECKING:
    from etude.explain.detection.detector import Detector

__all__ = [
    "GLTR",
    "LRR",
    "Binoculars",
    "Detector",
    "Entropy",
    "FastDetectGPT",
    "LogLikelihood",
    "LogRank",
    "Pawn",
]


def __getattr__(name: str) -> Any:
    if name == "Detector":
        from etude.explain.detection.detector import Detector

        return Detector
    raise AttributeError(f"module 'etude.explain.detection' has no attribute {name!r}")
