"""What every method of generation is checked on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from etude.search.generate.generator import load_generator
from etude.seeds import seeded
from etude.task import Example

PROMPTS = ("It was late, and the house", "He said")
LENGTH = 6


@dataclass(frozen=True)
class GenerateChecks:
    """See `etude.task.Checks`."""

    verb: str = "fit"
    edits: Sequence[str] = ()

    def settings(self, method: type[Any]) -> Mapping[str, Any]:
        """Two steps of training, three samples, chunks of two tokens."""
        small: dict[str, Any] = {"steps": 2, "batch": 4, "prefix": 40, "suffix": 20, "samples": 3, "chunk": 2}
        return {name: value for name, value in small.items() if name in method.__dataclass_fields__}

    def examples(self) -> Sequence[Example]:
        """A language model of each kind."""
        return [
            Example("a model with grouped-query attention and tied embeddings", _arguments(_grouped)),
            Example("a model with biases, fused projections and learned positions", _arguments(_fused)),
        ]

    def malformed(self) -> Sequence[Example]:
        """What is no language model, no tokenizer, no text."""
        documents: dict[str, Any] = {
            "one text instead of a list": "It was late. He slept.",
            "nothing": [],
            "numbers": [1, 2],
            "a single sentence": ["It was late."],
        }
        return [
            Example("an encoder", _arguments(_grouped, model=torch.nn.Linear(2, 2)), "model"),
            Example("none", _arguments(_grouped, tokenizer=None), "tokenizer"),
            *(
                Example(name, _arguments(_grouped, documents=bad), "documents")
                for name, bad in documents.items()
            ),
        ]

    def identity(self, method: type[Any]) -> Mapping[str, Any] | None:
        """Nothing is changed, so there is no setting that would leave it unchanged."""
        return None

    def outcome(self, arguments: Mapping[str, Any], returned: Any) -> Any:
        """The generator."""
        return returned

    def look(self, outcome: Any) -> Any:
        """What it makes of two prompts."""
        with seeded(0):
            made = outcome.generate(PROMPTS, LENGTH)
        for each in made:
            scores = [candidate.score for candidate in each.candidates]
            if scores != sorted(scores, reverse=True):
                raise AssertionError(f"candidates are not best first: {scores}")
            if any(len(candidate.ids) > LENGTH for candidate in each.candidates):
                raise AssertionError("a text is longer than was asked for")
        return [[(each.text, each.score) for each in one.candidates] for one in made]

    def reload(self, outcome: Any, folder: Path) -> Any:
        """Settings and the trained encoder; the language model is at hand."""
        outcome.save(folder)
        return load_generator(folder, outcome.model, outcome.tokenizer)


def _arguments(make: Callable[[], tuple[Any, Any]], **others: Any) -> Callable[[], dict[str, Any]]:
    def made() -> dict[str, Any]:
        model, tokenizer = make()
        return {"model": model, "tokenizer": tokenizer, "documents": _documents()} | others

    return made


@cache
def _documents() -> list[str]:
    from etude import data

    return [text[:3000] for text in data.load("novels", "calibration")[:2]]


def _grouped() -> tuple[Any, Any]:
    from etude import models

    return models.load("nano-llama")


def _fused() -> tuple[Any, Any]:
    from transformers import GPT2Config, GPT2LMHeadModel

    _, tokenizer = _grouped()
    with seeded(0):
        config = GPT2Config(n_embd=16, n_layer=2, n_head=4, n_positions=128, vocab_size=len(tokenizer))
        model: Any = GPT2LMHeadModel(config)
    model.generation_config.eos_token_id = model.config.eos_token_id = tokenizer.eos_token_id
    return model.eval(), tokenizer


CHECKS = GenerateChecks()
