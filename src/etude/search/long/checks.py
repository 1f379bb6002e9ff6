"""What every method of long retrieval is checked on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etude.search.embedder import Embedder
from etude.search.long.encoder import load_long
from etude.search.long.rotary import untrained
from etude.seeds import seeded
from etude.task import Example

WINDOW, TARGET = 32, 64
SHORT = "It was late, and he slept."
TEXTS = (SHORT, "She went to the door and saw no one in the street. " * 6, "The sea was grey. " * 5)
PROSE = "He went out and shut the door behind him. It was cold, and she saw no one in the street. " * 4
"""Sentences for two pairs of texts and more."""


@dataclass(frozen=True)
class LongChecks:
    """See `etude.task.Checks`."""

    verb: str = "extend"
    edits: Sequence[str] = ()

    def settings(self, method: type[Any]) -> Mapping[str, Any]:
        """A step of training."""
        small: dict[str, Any] = {"steps": 1, "batch": 4, "negatives": 1, "words": 24}
        return {name: value for name, value in small.items() if name in method.__dataclass_fields__}

    def examples(self) -> Sequence[Example]:
        """An encoder of each kind; methods may be made for one kind of positions."""
        return [
            Example("an encoder with learned positions", _arguments(_learned), refusable=True),
            Example("an encoder with rotary positions", _arguments(_rotary), refusable=True),
        ]

    def malformed(self) -> Sequence[Example]:
        """What is no encoder, no length, no text."""
        documents: dict[str, Any] = {
            "one text instead of a list": PROSE,
            "nothing": [],
            "numbers": [1, 2],
            "a single sentence": ["It was late."],
        }
        targets: dict[str, Any] = {"less than now": WINDOW - 1, "text": "64", "half a token": 40.5}
        return [
            Example("a model without a tokenizer", _arguments(_learned, encoder=_learned().model), "encoder"),
            *(Example(name, _arguments(_learned, target=bad), "target") for name, bad in targets.items()),
            *(
                Example(name, _arguments(_learned, documents=bad), "documents")
                for name, bad in documents.items()
            ),
        ]

    def identity(self, method: type[Any]) -> Mapping[str, Any] | None:
        """What must not change, texts that fit in the window, is looked at in every outcome."""
        return None

    def outcome(self, arguments: Mapping[str, Any], returned: Any) -> Any:
        """The encoder."""
        return returned

    def look(self, outcome: Any) -> Any:
        """Vectors of short and long texts."""
        vectors = outcome.encode(TEXTS)
        norms = vectors.values.norm(dim=1)
        if not bool(((norms - 1).abs() < 1e-5).all()):
            raise AssertionError(f"vectors are not of length 1: {norms}")
        return {"values": vectors.values, "owners": vectors.owners, "queries": outcome.queries(TEXTS)}

    def reload(self, outcome: Any, folder: Path) -> Any:
        """As a folder."""
        outcome.save(folder)
        return load_long(folder)


def _arguments(make: Callable[[], Embedder], **others: Any) -> Callable[[], dict[str, Any]]:
    return lambda: {"encoder": make(), "target": TARGET, "documents": [PROSE, TEXTS[1]]} | others


def _learned() -> Embedder:
    from transformers import BertConfig, BertModel

    tokenizer = untrained().tokenizer
    with seeded(0):
        config = BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=WINDOW,
        )
        model: Any = BertModel(config)
    return Embedder(model.eval(), tokenizer, window=WINDOW)


def _rotary() -> Embedder:
    whole = untrained()
    return Embedder(whole.model, whole.tokenizer, window=WINDOW)


CHECKS = LongChecks()
