"""Detection: did a person write a text, or a language model?

`Detector` and `Ensemble` need scikit-learn and are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from etude.explain.detection.binoculars import Binoculars
from etude.explain.detection.entropy import Entropy
from etude.explain.detection.fast_detectgpt import FastDetectGPT
from etude.explain.detection.gltr import GLTR
from etude.explain.detection.log_likelihood import LogLikelihood
from etude.explain.detection.log_rank import LogRank
from etude.explain.detection.lrr import LRR
from etude.explain.detection.pawn import Pawn
from etude.explain.detection.rank import Rank

if TYPE_CHECKING:
    from etude.explain.detection.detector import Detector
    from etude.explain.detection.ensemble import Ensemble

__all__ = [
    "GLTR",
    "LRR",
    "Binoculars",
    "Detector",
    "Ensemble",
    "Entropy",
    "FastDetectGPT",
    "LogLikelihood",
    "LogRank",
    "Pawn",
    "Rank",
]


def __getattr__(name: str) -> Any:
    if name in ("Detector", "Ensemble"):
        return getattr(import_module(f"etude.explain.detection.{name.lower()}"), name)
    raise AttributeError(f"module 'etude.explain.detection' has no attribute {name!r}")
