"""What every method of quantisation is checked on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from etude import models
from etude.compress.examples import MALFORMED, biased, fused, grouped, tokens
from etude.task import Example

WIDTH = 128
"""Of the tiny models: the default group fits."""


@dataclass(frozen=True)
class QuantizeChecks:
    """See `etude.task.Checks`."""

    verb: str = "quantize"
    edits: Sequence[str] = ("model",)

    def settings(self, method: type[Any]) -> Mapping[str, Any]:
        """A few iterations are enough to see that a method that trains keeps to the rules."""
        return {"iterations": 4} if "iterations" in method.__dataclass_fields__ else {}

    def examples(self) -> Sequence[Example]:
        """One model of each kind; all can be quantised."""
        return [
            Example("a model with grouped-query attention and tied embeddings", _arguments(grouped)),
            Example("a model with biases and untied embeddings", _arguments(biased)),
            Example("a model with fused projections", _arguments(fused)),
        ]

    def malformed(self) -> Sequence[Example]:
        """Calibration text that is no such thing, and a model without blocks."""
        return [
            *(
                Example(name, _arguments(grouped, calibration=bad(1)), wrong="calibration")
                for name, bad in MALFORMED.items()
            ),
            Example("no blocks", _arguments(lambda _: nn.Sequential(nn.Linear(2, 2))), wrong="model"),
        ]

    def identity(self, method: type[Any]) -> Mapping[str, Any] | None:
        """At most 8 bits are stored, so only the method that stores none changes nothing."""
        return {} if method.name == "full-precision" else None

    def outcome(self, arguments: Mapping[str, Any], returned: Any) -> Any:
        """The model, and what is stored of it."""
        return arguments["model"], returned

    def look(self, outcome: Any) -> Any:
        """What the model predicts."""
        with torch.no_grad():
            return {"logits": outcome[0](**tokens(3)).logits}

    def reload(self, outcome: Any, folder: Path) -> Any:
        """Through `etude.models.save` and `load`."""
        models.save(outcome[0], None, folder)
        return models.load(folder)[0], outcome[1]


def _arguments(model: Callable[[int], nn.Module], **others: Any) -> Callable[[], dict[str, Any]]:
    return lambda: {"model": model(WIDTH), "calibration": tokens(1)} | others


CHECKS = QuantizeChecks()
