"""What every linker is checked on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etude.data.mentions import Mention
from etude.search.link.linker import load_linker, save_linker
from etude.task import Example

NAMES = ("Red Harbour", "Red Harbour Museum", "Green Mountain", "Old Mill")
EXAMPLES = (
    Mention("they met at the [START_ENT] crimson port [END_ENT] at noon", 0),
    Mention("the [START_ENT] crimson port gallery [END_ENT] was closed", 1),
    Mention("from the [START_ENT] verdant peak [END_ENT] one sees far", 2),
)
"""Names of which one begins like another, and one has no mention."""


@dataclass(frozen=True)
class LinkChecks:
    """See `etude.task.Checks`."""

    verb: str = "fit"
    edits: Sequence[str] = ()

    def settings(self, method: type[Any]) -> Mapping[str, Any]:
        """Two steps of the smallest model."""
        small: dict[str, Any] = {"steps": 2, "width": 32, "layers": 1, "encoder": "nano-bert"}
        return {name: value for name, value in small.items() if name in method.__dataclass_fields__}

    def examples(self) -> Sequence[Example]:
        """Names with mentions and one without; one name alone."""
        return [
            Example("four names", _arguments()),
            Example("one name", _arguments(names=list(NAMES[:1]), examples=list(EXAMPLES[:1]))),
        ]

    def malformed(self) -> Sequence[Example]:
        """What are no names, and no mentions of them."""
        names: dict[str, Any] = {
            "none": [],
            "one text": "Red Harbour",
            "an empty name": [*NAMES[:3], " "],
            "a name twice": [*NAMES, NAMES[0]],
            "a number": [*NAMES[:3], 3],
        }
        examples: dict[str, Any] = {
            "none": [],
            "texts": ["the port"],
            "a name that there is not": [Mention("the port", 4)],
            "no text": [Mention(3, 0)],  # type: ignore[arg-type]
        }
        return [
            *(Example(name, _arguments(names=bad), "names") for name, bad in names.items()),
            *(Example(name, _arguments(examples=bad), "examples") for name, bad in examples.items()),
        ]

    def identity(self, method: type[Any]) -> Mapping[str, Any] | None:
        """Nothing is changed, so there is no setting that would leave it unchanged."""
        return None

    def outcome(self, arguments: Mapping[str, Any], returned: Any) -> Any:
        """The linker."""
        return returned

    def look(self, outcome: Any) -> Any:
        """What it finds: no name twice, and of candidates only these."""
        texts = [example.text for example in EXAMPLES]
        found = outcome.rank(texts, 3)
        few = outcome.rank(texts, 3, [[0]] * len(texts))
        if any(len(set(row)) < len(row) or len(row) > 3 for row in found):
            raise AssertionError(f"not at most 3 different names: {found}")
        if any(set(row) - {0} for row in few):
            raise AssertionError(f"other names than the candidates: {few}")
        return [found, few, outcome.nbytes]

    def reload(self, outcome: Any, folder: Path) -> Any:
        """Save it, and load it from there."""
        save_linker(outcome, folder)
        return load_linker(folder)


def _arguments(**others: Any) -> Callable[[], dict[str, Any]]:
    return lambda: {"names": list(NAMES), "examples": list(EXAMPLES), "seed": 0} | others


CHECKS = LinkChecks()
