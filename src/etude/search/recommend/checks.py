"""What every recommender is checked on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from etude.data.interactions import Interactions
from etude.search.recommend.recommender import load_recommender, save_recommender
from etude.task import Example

KNOWN = Interactions(
    sequences=((0, 1, 2, 3), (1, 2, 0), (4, 5, 6, 7), (5, 6, 4), (0, 2, 1), (6, 7)),
    items=9,
    titles=("Ab", "Cd", "Ef", "Gh", "Ij", "Kl", "Mn", "Op", "Ab"),
    categories=(("x", "u"),) * 4 + (("x", "v"),) * 5,
)
"""Two groups of items, and one that nobody had and that has another's title."""


@dataclass(frozen=True)
class RecommendChecks:
    """See `etude.task.Checks`."""

    verb: str = "fit"
    edits: Sequence[str] = ()

    def settings(self, method: type[Any]) -> Mapping[str, Any]:
        """An epoch of the smallest model."""
        small: dict[str, Any] = {"epochs": 1, "width": 32, "layers": 1, "clusters": 2, "size": 2}
        return {name: value for name, value in small.items() if name in method.__dataclass_fields__}

    def examples(self) -> Sequence[Example]:
        """Two groups; one user alone."""
        return [
            Example("two groups", _arguments()),
            Example("one user", _arguments(replace(KNOWN, sequences=((0, 1, 2),)), [3])),
        ]

    def malformed(self) -> Sequence[Example]:
        """What are no interactions."""
        bad: dict[str, Any] = {
            "a list": [[0, 1]],
            "nobody": replace(KNOWN, sequences=()),
            "a user without items": replace(KNOWN, sequences=((0, 1), ())),
            "an item that there is not": replace(KNOWN, sequences=((0, 9),)),
            "a negative item": replace(KNOWN, sequences=((0, -1),)),
            "an item that is text": replace(KNOWN, sequences=(("0", "1"),)),  # type: ignore[arg-type]
            "too few titles": replace(KNOWN, titles=("a",)),
        }
        return [Example(name, _arguments(given), "interactions") for name, given in bad.items()]

    def identity(self, method: type[Any]) -> Mapping[str, Any] | None:
        """Nothing is changed, so there is no setting that would leave it unchanged."""
        return None

    def outcome(self, arguments: Mapping[str, Any], returned: Any) -> Any:
        """The recommender."""
        return returned

    def look(self, outcome: Any) -> Any:
        """What it recommends: nothing twice, nothing that there is not, nothing that the user has had."""
        histories = [[0, 1], [5]]
        found = outcome.recommend(histories, [0, 0], 4)
        if found.shape != (2, 4):
            raise AssertionError(f"4 items for 2 users have the shape {found.shape}")
        for row, had in zip(found.tolist(), histories, strict=True):
            items = [item for item in row if item >= 0]
            if len({*items}) < len(items) or not {*items} <= {*range(KNOWN.items)} - {*had}:
                raise AssertionError(f"to a user who has had {had}, {row} are recommended")
        return found

    def reload(self, outcome: Any, folder: Path) -> Any:
        """Save it, and load it from there."""
        save_recommender(outcome, folder)
        return load_recommender(folder)


def _arguments(
    interactions: Any = KNOWN, held_out: Sequence[int] = (8, 3, 8, 7, 3, 5)
) -> Callable[[], dict[str, Any]]:
    return lambda: {"interactions": interactions, "seed": 0, "held_out": list(held_out)}


CHECKS = RecommendChecks()
