"""What comes of quantising a classifier, beside the classifier itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from etude.compress.quantize_vision.weights import freeze


class Plan(Protocol):
    """What was put in the place of a model's layers; can be put there again."""

    def apply(self, model: Any) -> None:
        """Replace the layers of ``model``."""


@dataclass(frozen=True)
class Outcome:
    """How a model was quantised, and what was seen on the way.

    Attributes
    ----------
    plan : what its layers were replaced by; None if they were not.
    figures : by name.
    """

    plan: Any = None
    figures: Mapping[str, float] = field(default_factory=dict)


def finish(model: Any, plan: Plan, figures: Mapping[str, float]) -> Outcome:
    """Turn the weights of a trained model into codes."""
    freeze(model)
    return Outcome(plan, dict(figures))
