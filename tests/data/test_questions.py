"""Questions from files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from etude.data.documents import Document
from etude.data.questions import load_questions
from etude.errors import InputError


def test_answers_by_any_of_their_names(tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    rows = [
        {"question": "a", "answers": ["x", 3]},
        {"question": "b", "answer": "y", "id": 17},
        {"question": "c", "golden_answers": ["z"]},
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    found = load_questions(path)
    assert [(q.id, q.answers) for q in found.questions] == [("0", ("x", "3")), ("17", ("y",)), ("2", ("z",))]
    assert found.documents == ()


def test_contexts_that_have_identifiers_only(tmp_path: Path) -> None:
    path, table = tmp_path / "questions.json", tmp_path / "passages.tsv"
    path.write_text(json.dumps([{"question": "a", "answers": ["x"], "ctxs": [{"id": "2"}, {"id": "2"}]}]))
    table.write_text("id\ttext\ttitle\n1\tone\tI\n2\ttwo\tII\n")
    found = load_questions(path, table)
    assert found.questions[0].passages == (Document("2", "two", "II"),) * 2
    assert found.documents == (Document("2", "two", "II"),)
    with pytest.raises(InputError, match=r"passages: .*entry 1: the context '2' has no text"):
        load_questions(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not JSON"),
        ("{}", "is not a list of questions"),
        ("[]", "holds no question"),
        ('[{"answers": ["x"]}]', "entry 1: no text in the field 'question'"),
        ('[{"question": " ", "answers": ["x"]}]', "no text in the field 'question'"),
        ('[{"question": "a"}]', "no texts in the field 'answers'"),
        ('[{"question": "a", "answers": []}]', "no texts in the field 'answers'"),
        ('[{"question": "a", "answers": [{}]}]', "no texts in the field 'answers'"),
        ('[{"question": "a", "answers": ["x"], "ctxs": 3}]', "no list of contexts"),
    ],
)
def test_malformed(tmp_path: Path, content: str, said: Any) -> None:
    path = tmp_path / "questions.json"
    path.write_text(content)
    with pytest.raises(InputError, match=said):
        load_questions(path)


def test_no_such_set() -> None:
    with pytest.raises(InputError, match="data: unknown 'xqad'; did you mean xquad"):
        load_questions("xqad")
