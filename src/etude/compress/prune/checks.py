"""What every pruning method is checked on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from etude import models
from etude.compress.examples import MALFORMED, biased, fused, grouped, tokens
from etude.method import hints
from etude.task import Example


@dataclass(frozen=True)
class PruneChecks:
    """See `etude.task.Checks`."""

    verb: str = "prune"
    edits: Sequence[str] = ("model",)

    def examples(self) -> Sequence[Example]:
        """One model of each kind; only one that fuses its projections may be refused."""
        return [
            Example("a model with grouped-query attention and tied embeddings", _arguments(grouped)),
            Example("a model with biases and untied embeddings", _arguments(biased)),
            Example("a model with fused projections", _arguments(fused), refusable=True),
        ]

    def malformed(self) -> Sequence[Example]:
        """Calibration and domain text that is no such thing, and a model without blocks."""
        examples = [
            Example(name, _arguments(grouped, **{field: bad(seed)}), wrong=field)
            for field, seed in (("calibration", 1), ("domain", 2))
            for name, bad in MALFORMED.items()
        ]
        return [
            *examples,
            Example("no second text", _arguments(grouped, domain=None), wrong="domain"),
            Example("segments of the calibration", _arguments(grouped, domain=tokens(1)), wrong="domain"),
            Example("no blocks", _arguments(lambda: nn.Sequential(nn.Linear(2, 2))), wrong="model"),
        ]

    def identity(self, method: Any) -> Mapping[str, Any] | None:
        """Remove nothing: sparsity 0 or ratio 0."""
        shares: dict[str, Any] = {name: 0.0 for name in ("sparsity", "ratio") if name in hints(method)}
        return shares or ({} if method.name == "dense" else None)

    def outcome(self, arguments: Mapping[str, Any], returned: Any) -> Any:
        """The model."""
        return arguments["model"]

    def look(self, outcome: Any) -> Any:
        """What the model predicts."""
        with torch.no_grad():
            return {"logits": outcome(**tokens(3)).logits}

    def reload(self, outcome: Any, folder: Path) -> Any:
        """Through `etude.models.save` and `load`."""
        models.save(outcome, None, folder)
        return models.load(folder)[0]


def _arguments(model: Callable[[], nn.Module], **others: Any) -> Callable[[], dict[str, Any]]:
    return lambda: {"model": model(), "calibration": tokens(1), "domain": tokens(2)} | others


CHECKS = PruneChecks()
