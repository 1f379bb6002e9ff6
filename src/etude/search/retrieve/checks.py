"""What every retriever is checked on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etude.search.collection import Document, Judged
from etude.search.retrieve.index import Index, open_index
from etude.task import Example

DOCUMENTS = (
    Document("wing", "The lift of a wing grows with the speed of the air that flows around it.", "Lift"),
    Document("tail", "A tail keeps an aircraft steady in its flight."),
    Document("library", "A library lends books, and a catalogue tells where they stand.", "Libraries"),
    Document("index", "An index of words tells on which page of a book they stand."),
    Document("tube", "Electrons fly through a tube, drawn by a high voltage.", "Valves"),
    Document("radio", "A radio receives waves that a far station sends."),
    Document("heat", "Heat flows from the hot body to the cold one until both are equally warm."),
    Document("empty", ""),
)
QUERIES = {
    "q1": "what lifts a wing",
    "q2": "where do books stand in a library",
    "q3": "how does heat flow",
    "q4": "electrons in a tube",
}
QRELS = {
    "q1": {"wing": 2, "tail": 1, "heat": 0},
    "q2": {"library": 2, "index": 1},
    "q3": {"heat": 1},
    "q4": {"tube": 1, "radio": 1},
}


@dataclass(frozen=True)
class RetrieveChecks:
    """See `etude.task.Checks`."""

    verb: str = "index"
    edits: Sequence[str] = ()

    def settings(self, method: type[Any]) -> Mapping[str, Any]:
        """What makes learning short and models small, where a method has such fields."""
        return {name: value for name, value in SMALL.items() if name in method.__dataclass_fields__}

    def examples(self) -> Sequence[Example]:
        """A few documents, one of them empty; one document alone."""
        return [
            Example("a few documents", _arguments()),
            Example("one document", _arguments(corpus=[DOCUMENTS[0]], judged=_judged("q1"))),
        ]

    def malformed(self) -> Sequence[Example]:
        """What is no corpus, or no judged queries."""
        first, *others = DOCUMENTS
        corpora: dict[str, Any] = {
            "nothing in it": [],
            "one text": "the wing",
            "texts instead of documents": ["the wing", "the tail"],
            "no documents": 3,
            "a document twice": [first, *others, first],
            "a document without identifier": [Document("", "the wing"), *others],
            "a document that is no text": [Document("wing", 3), *others],  # type: ignore[arg-type]
        }
        return [Example(name, _arguments(corpus=bad), "corpus") for name, bad in corpora.items()]

    def identity(self, method: type[Any]) -> Mapping[str, Any] | None:
        """Nothing is changed, so there is no setting that would leave it unchanged."""
        return None

    def outcome(self, arguments: Mapping[str, Any], returned: Any) -> Any:
        """The index."""
        return returned

    def look(self, outcome: Any) -> Any:
        """What it finds; every document at most once, best first."""
        run = outcome.search(QUERIES, k=5)
        for query, ranking in run.items():
            scores = [*ranking.values()]
            if len(ranking) > 5 or scores != sorted(scores, reverse=True):
                raise AssertionError(
                    f"the ranking of {query} is not at most 5 documents, best first: {ranking}"
                )
        return {
            query: {"documents": [*ranking], "scores": [*ranking.values()]} for query, ranking in run.items()
        }

    def reload(self, outcome: Any, folder: Path) -> Index:
        """Save it, and open it from there."""
        outcome.save(folder)
        return open_index(folder, type(outcome.method))


SMALL: dict[str, Any] = {
    "backbone": "tiny-xmod",
    "steps": 2,
    "tokens": 4,
    "width": 32,
    "writer": "nano-llama",
}
"""Fields of methods, by name, with which they learn shortly."""


def _judged(*names: str) -> Judged:
    chosen = names or tuple(QUERIES)
    return Judged({name: QUERIES[name] for name in chosen}, {name: QRELS[name] for name in chosen})


def _arguments(**others: Any) -> Callable[[], dict[str, Any]]:
    return lambda: {"corpus": list(DOCUMENTS), "judged": _judged(), "seed": 0} | others


CHECKS = RetrieveChecks()
