"""What every toy method is checked on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etude.task import Example


@dataclass(frozen=True)
class ToyChecks:
    """See `etude.task.Checks`."""

    verb: str = "guess"
    edits: Sequence[str] = ()

    def examples(self) -> Sequence[Example]:
        """A few numbers."""
        return [Example("a few numbers", lambda: {"numbers": [3.0, 1.0, 2.0, 6.0]})]

    def malformed(self) -> Sequence[Example]:
        """No numbers, and text."""
        return [
            Example("nothing in it", lambda: {"numbers": []}, wrong="numbers"),
            Example("text in it", lambda: {"numbers": [1.0, "two"]}, wrong="numbers"),
        ]

    def identity(self, method: Any) -> Mapping[str, Any] | None:
        """A guess has no setting under which it is none."""
        return None

    def outcome(self, arguments: Mapping[str, Any], returned: Any) -> Any:
        """The guess."""
        return returned

    def look(self, outcome: Any) -> Any:
        """The guess itself."""
        return outcome

    def reload(self, outcome: Any, folder: Path) -> Any:
        """Through a JSON file."""
        folder.mkdir()
        (folder / "guess.json").write_text(json.dumps(outcome))
        return json.loads((folder / "guess.json").read_text())


CHECKS = ToyChecks()
