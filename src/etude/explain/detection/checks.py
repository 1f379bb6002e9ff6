"""What every method of detection is checked on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from etude.explain.detection.reading import Reader, Reading
from etude.explain.detection.scorer import Scorer
from etude.explain.examples import biased, fused, grouped, tokenizer
from etude.task import Example

TEXTS = ("w1 w2 w3 w4", "w5 w6", "w9 w9 w9 w9 w9 w9 w9", "w11 w12 w13", "w2 w4 w8 w16", "w7 w7 w7")
LABELS = [0, 0, 1, 0, 1, 1]


@dataclass(frozen=True)
class DetectionChecks:
    """See `etude.task.Checks`."""

    verb: str = "fit"
    edits: Sequence[str] = ()

    def examples(self) -> Sequence[Example]:
        """Readings of texts of several lengths by one model of each kind."""
        return [
            Example("a model with grouped-query attention and tied embeddings", _arguments(grouped)),
            Example("a model with biases and untied embeddings", _arguments(biased)),
            Example("a model with fused projections", _arguments(fused)),
        ]

    def malformed(self) -> Sequence[Example]:
        """Readings and labels that are none, or do not fit together."""
        first, *others = _read(grouped)
        infinite = replace(first, metrics=first.metrics + torch.inf)
        readings: dict[str, Any] = {
            "texts instead of readings": list(TEXTS),
            "nothing": [],
            "one reading instead of a list": first,
            "a position too few": [replace(first, metrics=first.metrics[1:]), *others],
            "hidden states of another width": [replace(first, hidden=first.hidden[:, 1:]), *others],
            "numbers that are not finite": [infinite, *others],
        }
        labels: dict[str, Any] = {
            "one label too few": LABELS[1:],
            "words": ["human"] * len(LABELS),
            "a third class": [2, *LABELS[1:]],
            "one class only": [1] * len(LABELS),
            "not a number": [float("nan"), *LABELS[1:]],
        }
        return [
            *(Example(name, _arguments(grouped, readings=bad), "readings") for name, bad in readings.items()),
            *(Example(name, _arguments(grouped, labels=bad), "labels") for name, bad in labels.items()),
        ]

    def identity(self, method: type[Any]) -> Mapping[str, Any] | None:
        """Nothing is changed, so there is no setting that would leave it unchanged."""
        return None

    def outcome(self, arguments: Mapping[str, Any], returned: Any) -> Any:
        """The scorer, and what it is to score."""
        return returned, arguments["readings"]

    def look(self, outcome: Any) -> Any:
        """The scores of the readings."""
        scorer, readings = outcome
        scores: Tensor = scorer(readings)
        if scores.shape != (len(readings),) or not bool(scores.isfinite().all()):
            raise AssertionError(f"the scores are not a finite number for each text: {scores}")
        return {"scores": scores}

    def reload(self, outcome: Any, folder: Path) -> Any:
        """Its tensors through safetensors."""
        from safetensors.torch import load_file, save_file

        scorer, readings = outcome
        save_file(dict(scorer.tensors), folder)
        return Scorer(scorer.method, load_file(folder)), readings


def _arguments(model: Callable[[], Any], **others: Any) -> Callable[[], dict[str, Any]]:
    return lambda: {"readings": _read(model), "labels": LABELS} | others


def _read(model: Callable[[], Any]) -> list[Reading]:
    return Reader(model(), tokenizer()).read(TEXTS)


CHECKS = DetectionChecks()
