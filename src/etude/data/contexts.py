"""Questions with documents found beforehand, as Rankify and DPR distribute them.

A file is a list of ``{"question", "answers", "ctxs": [{"id", "title", "text", "score"}]}``, as ``.json`` or
one question a line as ``.jsonl``, perhaps gzipped. Where contexts have no text, as in some files of Rankify,
it stands in the corpus that was searched, under the same identifier.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etude.data.documents import Document
from etude.data.rows import decoded, kind_of, opened, rows
from etude.errors import InputError


@dataclass(frozen=True)
class Asked:
    """A question, what answers it, and what was found for it.

    Parameters
    ----------
    id : of the question; its number in the file, from 0, if it has none.
    question : its text.
    answers : texts, any of which is right.
    documents : that were found, best first.
    scores : of the documents, higher is better.
    """

    id: str
    question: str
    answers: tuple[str, ...]
    documents: tuple[Document, ...]
    scores: tuple[float, ...]


def read_contexts(path: str | Path) -> list[Asked]:
    """The questions of a file in their order, with what was found for them.

    Documents stand in the order of the file; where one has no score, it gets one that keeps this order.

    Raises
    ------
    InputError : naming ``data``, the file and the question's number, if the file is malformed.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "found.json"
    >>> found = [{"question": "what lifts?", "answers": ["wings"], "ctxs": [{"id": 7, "text": "A wing."}]}]
    >>> _ = path.write_text(json.dumps(found))
    >>> [asked] = read_contexts(path)
    >>> asked.question, asked.documents
    ('what lifts?', (Document(id='7', text='A wing.', title=''),))
    """
    path = Path(path)
    return [_asked(row, number, place) for number, (place, row) in enumerate(_questions(path))]


def _questions(path: Path) -> Iterator[tuple[str, Any]]:
    if kind_of(path) == ".jsonl":
        yield from rows(path)
        return
    with opened(path) as file:
        content = decoded(file.read(), str(path))
    try:
        questions = json.loads(content)
    except json.JSONDecodeError as error:
        raise InputError("data", f"{path}, line {error.lineno}: not JSON: {error.msg}") from error
    except RecursionError as error:
        raise InputError("data", f"{path}: nested too deeply") from error
    if not isinstance(questions, list):
        raise InputError("data", f"{path}: not a list of questions")
    for number, row in enumerate(questions):
        yield f"{path}, question {number}", row


def _asked(row: Any, number: int, place: str) -> Asked:
    if not isinstance(row, dict) or not isinstance(row.get("question"), str):
        raise InputError("data", f"{place}: no text in the field 'question'")
    answers, contexts = row.get("answers", []), row.get("ctxs", [])
    if not _texts(answers):
        raise InputError("data", f"{place}: the field 'answers' is not a list of texts")
    if not isinstance(contexts, list):
        raise InputError("data", f"{place}: the field 'ctxs' is not a list")
    found = [_context(context, f"{place}, context {rank}") for rank, context in enumerate(contexts)]
    ids = [document.id for document, _ in found]
    if len(set(ids)) < len(ids):
        raise InputError("data", f"{place}: a context stands twice")
    return Asked(
        str(row.get("id", number)),
        row["question"],
        tuple(answers),
        tuple(document for document, _ in found),
        tuple(-float(rank) if score is None else score for rank, (_, score) in enumerate(found)),
    )


def _texts(values: Any) -> bool:
    return (
        isinstance(values, Sequence)
        and not isinstance(values, str)
        and all(isinstance(v, str) for v in values)
    )


def _context(context: Any, place: str) -> tuple[Document, float | None]:
    if not isinstance(context, dict) or not isinstance(context.get("text", ""), str):
        raise InputError("data", f"{place}: the field 'text' is no text")
    identifier, score = context.get("id"), context.get("score")
    if not isinstance(identifier, (str, int)) or identifier == "":
        raise InputError("data", f"{place}: no identifier in the field 'id'")
    try:
        value = None if score is None else float(score)
    except (TypeError, ValueError):
        value = math.nan
    if value is not None and not math.isfinite(value):
        raise InputError("data", f"{place}: the score {score!r} is not a number")
    return Document(str(identifier), context.get("text", ""), str(context.get("title") or "")), value
