"""What every way to train token encoders is checked on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from etude.search.collection import Document
from etude.search.late.encoder import TokenEncoder
from etude.search.late.pairs import Pair
from etude.task import Example

TEXTS = ("The ship sailed at dawn.", "She wore a dress of silk.", "He paid his debts.")
PAIRS = (
    Pair("a ship", TEXTS[0], "1", (Document("2", TEXTS[1]),)),
    Pair("her dress", TEXTS[1], "2"),
    Pair("debts", TEXTS[2], "3", (Document("1", TEXTS[0]),)),
)


@dataclass(frozen=True)
class LateChecks:
    """See `etude.task.Checks`."""

    verb: str = "train"
    edits: Sequence[str] = ()

    def settings(self, method: type[Any]) -> Mapping[str, Any]:
        """Few steps."""
        return {"steps": 3, "batch": 2} if "steps" in method.__dataclass_fields__ else {}

    def examples(self) -> Sequence[Example]:
        """A small encoder and three pairs; one pair alone."""
        return [
            Example("three pairs", _arguments()),
            Example("one pair", _arguments(pairs=list(PAIRS[:1]))),
        ]

    def malformed(self) -> Sequence[Example]:
        """An encoder without projection, and what are no pairs."""
        wrong: dict[str, Any] = {
            "no pairs": [],
            "texts instead of pairs": ["a ship", "her dress"],
            "one text": "a ship",
        }
        return [
            Example("no projection", _arguments(encoder=TokenEncoder.load("nano-bert")), "encoder"),
            *(Example(name, _arguments(pairs=pairs), "pairs") for name, pairs in wrong.items()),
        ]

    def identity(self, method: type[Any]) -> Mapping[str, Any] | None:
        """Without steps nothing is learnt."""
        return {"steps": 0} if "steps" in method.__dataclass_fields__ else {}

    def outcome(self, arguments: Mapping[str, Any], returned: Any) -> Any:
        """The encoder."""
        return arguments["encoder"] if returned is None else returned

    def look(self, outcome: Any) -> Any:
        """The vectors of texts."""
        return {"vectors": outcome.encode(TEXTS, "document").vectors}

    def reload(self, outcome: Any, folder: Path) -> TokenEncoder:
        """Save it, and load it from there."""
        outcome.save(folder)
        return TokenEncoder.load(folder)


def _arguments(**others: Any) -> Callable[[], dict[str, Any]]:
    def make() -> dict[str, Any]:
        torch.manual_seed(0)
        return {"encoder": TokenEncoder.load("nano-bert", width=16), "pairs": list(PAIRS)} | others

    return make


CHECKS = LateChecks()
