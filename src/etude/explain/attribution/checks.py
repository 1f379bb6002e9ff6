"""What every method of attribution is checked on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from etude.explain.attribution.attribution import load, save
from etude.explain.examples import LIMIT, VOCABULARY, biased, fused, grouped, tokenizer
from etude.task import Example

PROMPT = [3, 7, 11, 5, 2, 9]


@dataclass(frozen=True)
class AttributionChecks:
    """See `etude.task.Checks`."""

    verb: str = "attribute"
    edits: Sequence[str] = ()

    def examples(self) -> Sequence[Example]:
        """One model of each kind, and a target that is not the most likely."""
        return [
            Example("a model with grouped-query attention and tied embeddings", _arguments(grouped)),
            Example("a model with biases and untied embeddings", _arguments(biased)),
            Example("a model with fused projections", _arguments(fused)),
            Example("a prompt of one token", _arguments(grouped, ids=torch.tensor([4]))),
            Example("no tokenizer", _arguments(grouped, tokenizer=None)),
        ]

    def malformed(self) -> Sequence[Example]:
        """Prompts and targets that are none, and a model that predicts nothing."""
        wrong: dict[str, Any] = {
            "a list instead of a tensor": PROMPT,
            "no tokens": torch.empty(0, dtype=torch.long),
            "two dimensions": torch.tensor([PROMPT]),
            "numbers with fractions": torch.tensor(PROMPT).float(),
            "a token above the vocabulary": torch.tensor([VOCABULARY]),
            "a token below 0": torch.tensor([-1]),
            "more tokens than the model's context": torch.ones(LIMIT + 1, dtype=torch.long),
        }
        return [
            *(Example(name, _arguments(grouped, ids=ids), wrong="ids") for name, ids in wrong.items()),
            Example("a token above the vocabulary", _arguments(grouped, target=VOCABULARY), wrong="target"),
            Example("a word instead of a number", _arguments(grouped, target="w1"), wrong="target"),
            Example("no language model", _arguments(lambda: nn.Linear(2, 2)), wrong="model"),
        ]

    def identity(self, method: type[Any]) -> Mapping[str, Any] | None:
        """Nothing is changed, so there is no setting that would leave it unchanged."""
        return None

    def outcome(self, arguments: Mapping[str, Any], returned: Any) -> Any:
        """The attribution."""
        return returned

    def look(self, outcome: Any) -> Any:
        """Its numbers, which must be scores."""
        scores = torch.tensor(outcome.scores, dtype=torch.float64)
        if bool((scores < 0).any()) or abs(float(scores.sum()) - 1) > 1e-6:
            raise AssertionError(f"the scores are no shares of 1: {outcome.scores}")
        return {"scores": outcome.scores, "raw": outcome.raw, "target": outcome.target_id}

    def reload(self, outcome: Any, folder: Path) -> Any:
        """Through JSON."""
        save([outcome], folder)
        return load(folder)[0]


def _arguments(model: Callable[[], Any], **others: Any) -> Callable[[], dict[str, Any]]:
    good: dict[str, Any] = {"tokenizer": tokenizer(), "ids": _prompt(), "target": None}
    return lambda: {"model": model()} | good | others


def _prompt() -> Tensor:
    return torch.tensor(PROMPT)


CHECKS = AttributionChecks()
