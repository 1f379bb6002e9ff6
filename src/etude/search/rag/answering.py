"""Answers: what a method gives for each question, how it came about, and what it cost."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

from etude.errors import InputError
from etude.files import new_file
from etude.search.collection import Document
from etude.search.generator import Generation, Generator

Passages: TypeAlias = Sequence[Sequence[Document]]
"""What was found for each question, best first."""

Search: TypeAlias = Callable[[str], Sequence[Document]]
"""Finds passages for a question, best first."""


@dataclass(frozen=True)
class Answer:
    """An answer to one question.

    Parameters
    ----------
    text : the answer, "" if there is none.
    trace : what the model wrote on the way, in its order.
    read : tokens of prompts that were computed.
    generated : tokens that were written.
    """

    text: str
    trace: tuple[str, ...] = ()
    read: int = 0
    generated: int = 0

    @classmethod
    def of(cls, text: str, generations: Sequence[Generation]) -> Answer:
        """An answer that came of these generations."""
        return cls(
            text,
            tuple(each.text for each in generations),
            sum(each.read for each in generations),
            sum(each.generated for each in generations),
        )


def check_questions(generator: Any, questions: Any, passages: Any = None) -> None:
    """Raise `InputError` if a method of the task cannot work on these.

    Parameters
    ----------
    generator : is to be a `Generator`.
    questions : texts, one at least.
    passages : documents for each question; None where they are not needed.
    """
    if not isinstance(generator, Generator):
        raise InputError("generator", f"is a {type(generator).__name__}; give a Generator")
    if isinstance(questions, str) or not isinstance(questions, Sequence) or not questions:
        raise InputError("questions", "are no list of texts with one or more")
    for question in questions:
        if not isinstance(question, str) or not question.strip():
            raise InputError("questions", f"{question!r:.60} is no question")
    if passages is None:
        return
    if not isinstance(passages, Sequence) or len(passages) != len(questions):
        raise InputError("passages", f"are not lists of documents for each of {len(questions)} questions")
    for found in passages:
        if not isinstance(found, Sequence) or not all(isinstance(each, Document) for each in found):
            raise InputError("passages", f"{found!r:.60} is no list of documents")


def save_answers(answers: Sequence[Answer], path: Path) -> None:
    """Write answers as JSON lines."""
    with new_file(path) as file:
        file.write_text(
            "".join(json.dumps(asdict(each), ensure_ascii=False) + "\n" for each in answers), encoding="utf-8"
        )


def load_answers(path: Path) -> list[Answer]:
    """Read what `save_answers` wrote.

    Raises
    ------
    InputError : naming ``answers`` if the file holds something else.
    """
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return [Answer(**row | {"trace": tuple(row["trace"])}) for row in rows]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError("answers", f"{path} holds no answers: {error}") from error
