"""Questions with their answers: named sets, and files in the pre-retrieved format of DPR and Rankify.

A file is a JSON array or JSON lines; an entry has ``question``, ``answers`` (or ``answer``, or
``golden_answers``: a text or a list), perhaps ``id`` or ``query_id``, and perhaps ``ctxs``: what a retriever
found, best first, each with ``id``, ``text`` and ``title``; what else an entry or a context has is not read.
Where contexts have identifiers only, as in the published files, a table of passages (``id``, ``text``,
``title``, as ``psgs_w100.tsv``) has the rest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from etude.data.documents import Document
from etude.data.rows import Row, decoded, kind_of, opened, rows
from etude.data.sets import find_folder, missing
from etude.errors import InputError, unknown

SETS = {
    "nq_open": ("dev.jsonl", "https://github.com/google-research-datasets/natural-questions"),
    "triviaqa_open": ("dev.jsonl.gz", "https://github.com/castorini/anserini-tools"),
    "xquad": ("en.jsonl.gz", "https://github.com/google-deepmind/xquad"),
}
"""Named sets: the file that is read, and where it comes from."""


@dataclass(frozen=True)
class Question:
    """A question, what counts as an answer, and what a retriever found for it, if it came with that.

    Parameters
    ----------
    id : unique in its set.
    text : as it was asked.
    answers : any of them is right.
    passages : best first.
    """

    id: str
    text: str
    answers: tuple[str, ...]
    passages: tuple[Document, ...] = ()


@dataclass(frozen=True)
class QuestionSet:
    """Questions, and the passages that hold their answers, if the set has them.

    Parameters
    ----------
    questions : in the order of the file.
    documents : every passage once.
    """

    questions: tuple[Question, ...]
    documents: tuple[Document, ...]


def load_questions(name_or_path: str | Path, passages: str | Path | None = None) -> QuestionSet:
    """Questions of a named set or a file.

    Parameters
    ----------
    name_or_path : ``"xquad"`` (English: paragraphs and questions of SQuAD), ``"nq_open"`` or
        ``"triviaqa_open"`` (both without passages), or a file as the module's text describes it.
    passages : table of the texts of contexts that have identifiers only.

    Returns
    -------
    QuestionSet : the documents are the passages of the set, or all contexts of the file.

    Raises
    ------
    InputError : naming ``data`` if there is no such set, or an entry is malformed, with its place;
        ``passages`` if the table lacks a passage.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "questions.json"
    >>> context = {"id": "7", "title": "France", "text": "Paris is its capital.", "score": 9.1}
    >>> entry = {"question": "The capital of France?", "answers": ["Paris"], "ctxs": [context]}
    >>> _ = path.write_text(json.dumps([entry]))
    >>> load_questions(path).questions[0].passages
    (Document(id='7', text='Paris is its capital.', title='France'),)
    """
    name = str(name_or_path)
    if name in SETS:
        file, home = SETS[name]
        folder = find_folder(name)
        if folder is None:
            raise missing(name, file, home)
        path = folder / file
    else:
        path = Path(name).expanduser()
        if not path.is_file():
            if "/" in name or path.suffix:
                raise InputError("data", f"there is no file {name}")
            raise unknown("data", name, SETS)
    table = None if passages is None else Path(passages).expanduser()
    return _read(path, table, tuple(_state(each) for each in (path, table) if each is not None))


def _state(path: Path) -> tuple[int, int]:
    """What changes when the file does."""
    if not path.is_file():
        raise InputError("passages", f"there is no file {path}")
    return path.stat().st_size, path.stat().st_mtime_ns


@lru_cache(maxsize=4)
def _read(path: Path, table: Path | None, state: tuple[tuple[int, int], ...]) -> QuestionSet:
    entries = list(_entries(path))
    if not entries:
        raise InputError("data", f"{path} holds no question")
    texts = {} if table is None else _texts(table, {_id(c) for _, e in entries for c in e.get("ctxs") or ()})
    questions = tuple(_question(place, entry, texts, number) for number, (place, entry) in enumerate(entries))
    contexts = dict.fromkeys(entry["context"] for _, entry in entries if "context" in entry)
    if contexts:
        return QuestionSet(questions, tuple(Document(str(n), text) for n, text in enumerate(contexts)))
    found = {passage.id: passage for question in questions for passage in question.passages}
    return QuestionSet(questions, tuple(found.values()))


def _entries(path: Path) -> Iterator[Row]:
    if kind_of(path) == ".jsonl":
        yield from rows(path)
        return
    if kind_of(path) != ".json":
        raise InputError("data", f"{path} is neither .json nor .jsonl")
    with opened(path) as file:
        text = decoded(file.read(), str(path))
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError("data", f"{path} is not JSON: {error}") from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError("data", f"{path} is not a list of questions")
    yield from ((f"{path}, entry {number}", entry) for number, entry in enumerate(entries, 1))


def _question(place: str, entry: dict[str, Any], texts: dict[str, Document], number: int) -> Question:
    if not isinstance(entry.get("question"), str) or not entry["question"].strip():
        raise InputError("data", f"{place}: no text in the field 'question'")
    answers = next((entry[key] for key in ("answers", "answer", "golden_answers") if key in entry), None)
    answers = [answers] if isinstance(answers, (str, int)) else answers
    if not isinstance(answers, list) or not answers or not all(isinstance(a, (str, int)) for a in answers):
        raise InputError("data", f"{place}: no texts in the field 'answers'")
    contexts = entry.get("ctxs") or []
    if not isinstance(contexts, list) or not all(isinstance(each, dict) for each in contexts):
        raise InputError("data", f"{place}: the field 'ctxs' is no list of contexts")
    passages = tuple(_passage(place, context, texts) for context in contexts)
    name = entry.get("id", entry.get("query_id", number))
    return Question(str(name), entry["question"], tuple(map(str, answers)), passages)


def _passage(place: str, context: dict[str, Any], texts: dict[str, Document]) -> Document:
    name = _id(context)
    text = context.get("text", context.get("contents"))
    if isinstance(text, str):
        return Document(name, text, str(context.get("title") or ""))
    if name not in texts:
        raise InputError("passages", f"{place}: the context {name!r} has no text, and no table gives it one")
    return texts[name]


def _id(context: Any) -> str:
    return str(context.get("id", "")) if isinstance(context, dict) else ""


def _texts(table: Path, wanted: set[str]) -> dict[str, Document]:
    """Those that are wanted of a table of millions."""
    found: dict[str, Document] = {}
    for place, row in rows(table):
        if not {"id", "text", "title"} <= set(row):
            raise InputError("passages", f"{place}: not the columns id, text and title")
        if row["id"] in wanted:
            found[row["id"]] = Document(row["id"], row["text"], row["title"])
    return found


def write_questions(
    path: Path,
    questions: Sequence[Question],
    scores: Sequence[Sequence[float]],
    has_answer: Sequence[Sequence[bool]],
) -> None:
    """Write questions in the pre-retrieved format, as Rankify's ``Dataset.load_dataset`` reads it.

    Parameters
    ----------
    path : a ``.json`` file.
    questions : with their passages, best first.
    scores : of each passage, higher is better.
    has_answer : whether each passage holds an answer, which Rankify's top-k accuracy is computed from.
    """
    entries = [
        {
            "query_id": question.id,
            "question": question.text,
            "answers": [*question.answers],
            "ctxs": [
                {"id": p.id, "title": p.title, "text": p.text, "score": score, "has_answer": held}
                for p, score, held in zip(question.passages, given, holding, strict=True)
            ],
        }
        for question, given, holding in zip(questions, scores, has_answer, strict=True)
    ]
    path.write_text(json.dumps(entries, ensure_ascii=False, indent=1), encoding="utf-8")
