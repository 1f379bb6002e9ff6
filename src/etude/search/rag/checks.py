"""What every method of retrieval-augmented generation is checked on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from etude.search.collection import Document
from etude.search.generator import Generator
from etude.search.rag.answering import Answer, load_answers, save_answers
from etude.search.rag.examples import causal, encoder_decoder, learned_positions
from etude.task import Example

QUESTIONS = ("w5 w6 w7 ?", "w8")
PASSAGES = (
    (Document("a", "w5 w6 w9 w10 w11"), Document("b", "w12 " * 200, title="w13")),
    (),
)


@dataclass(frozen=True)
class RagChecks:
    """See `etude.task.Checks`."""

    verb: str = "answer"
    edits: Sequence[str] = ()

    def settings(self, method: type[Any]) -> Mapping[str, Any]:
        """Short answers."""
        return {name: value for name, value in SMALL.items() if name in method.__dataclass_fields__}

    def examples(self) -> Sequence[Example]:
        """A long passage and none at all, for models of several kinds; each method takes some of them."""
        return [
            Example("an encoder-decoder model", _arguments(encoder_decoder)),
            Example("a causal model", _arguments(causal), refusable=True),
            Example("a model with learned positions", _arguments(learned_positions), refusable=True),
        ]

    def malformed(self) -> Sequence[Example]:
        """What is no generator, no questions, or no passages of them."""
        questions: dict[str, Any] = {
            "one text instead of a list": "w5 w6",
            "nothing": [],
            "a number": [3, "w8"],
            "an empty question": ["w5", " "],
        }
        passages: dict[str, Any] = {
            "of one question only": PASSAGES[:1],
            "texts instead of documents": [["w5"], ["w6"]],
            "documents without lists": [PASSAGES[0][0], PASSAGES[0][1]],
        }
        return [
            Example("a model instead of a generator", _arguments(lambda: causal().model), "generator"),
            *(
                Example(n, _arguments(encoder_decoder, questions=bad), "questions")
                for n, bad in questions.items()
            ),
            *(
                Example(n, _arguments(encoder_decoder, passages=bad), "passages")
                for n, bad in passages.items()
            ),
        ]

    def identity(self, method: type[Any]) -> Mapping[str, Any] | None:
        """Nothing is changed, so there is no setting that would leave it unchanged."""
        return None

    def outcome(self, arguments: Mapping[str, Any], returned: Any) -> Any:
        """The answers."""
        return returned

    def look(self, outcome: Sequence[Answer]) -> Any:
        """All that they hold; one for each question."""
        if len(outcome) != len(QUESTIONS):
            raise AssertionError(f"{len(outcome)} answers to {len(QUESTIONS)} questions")
        return [asdict(answer) for answer in outcome]

    def reload(self, outcome: Any, folder: Path) -> Any:
        """As JSON lines."""
        save_answers(outcome, folder)
        return load_answers(folder)


SMALL: dict[str, Any] = {"tokens": 6, "samples": 2, "steps": 2}


def _arguments(generator: Callable[[], Generator], **others: Any) -> Callable[[], dict[str, Any]]:
    given = {"questions": QUESTIONS, "passages": PASSAGES, "search": _search}
    return lambda: {"generator": generator(), **given, **others}


def _search(words: str) -> Sequence[Document]:
    return PASSAGES[0]


CHECKS = RagChecks()
