"""Collections by name and from folders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from etude.data.collections import load_collection
from etude.errors import InputError

CORPUS = [{"_id": "d1", "title": "Wing", "text": "A wing."}, {"_id": "d2", "title": "", "text": "A tail."}]
QUERIES = [{"_id": "q1", "text": "wings"}, {"_id": "q2", "text": "tails"}, {"_id": "q3", "text": "cabins"}]
QRELS = [("q1", "d1", 2), ("q1", "gone", 1), ("q2", "d2", 0), ("q4", "d1", 1)]


def write(folder: Path, **changed: str) -> Path:
    (folder / "qrels").mkdir()
    files = {
        "corpus.jsonl": "\n".join(map(json.dumps, CORPUS)),
        "queries.jsonl": "\n".join(map(json.dumps, QUERIES)),
        "qrels/test.tsv": "\n".join(["query-id\tcorpus-id\tscore", *("\t".join(map(str, r)) for r in QRELS)]),
    }
    for name, content in (files | {key.replace("__", "/"): value for key, value in changed.items()}).items():
        (folder / name).write_text(content + "\n")
    return folder


def test_only_queries_with_a_relevant_document(tmp_path: Path) -> None:
    found = load_collection(write(tmp_path))
    assert [document.content for document in found.documents] == ["Wing A wing.", "A tail."]
    assert found.queries == {"q1": "wings"} and found.qrels == {"q1": {"d1": 2}}


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    first = load_collection(write(tmp_path))
    assert load_collection(tmp_path) is first
    with (tmp_path / "qrels" / "test.tsv").open("a") as file:
        file.write("q3\td2\t1\n")
    assert [*load_collection(tmp_path).queries] == ["q1", "q3"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("corpus.jsonl", '{"text": "t"}', r"corpus\.jsonl, line 1: no identifier"),
        ("corpus.jsonl", '{"_id": "a", "text": null}', r"corpus\.jsonl, line 1: no text"),
        ("corpus.jsonl", '{"_id": "a", "text": ""}\n{"_id": "a", "text": ""}', "stands twice"),
        (
            "queries.jsonl",
            '{"_id": "q", "text": "t"}\n{"_id": "q", "text": "t"}',
            "line 2: the query 'q' is there",
        ),
        ("qrels/test.tsv", "a\tb\tc\nq1\td1\thigh", r"test\.tsv, line 2: not a query"),
        ("qrels/test.tsv", "a\tb\nq1\td1", "line 2: not a query"),
        ("qrels/test.tsv", "a\tb\tc\nq1\td1\t0", "no query has a relevant document"),
    ],
)
def test_malformed_collections(tmp_path: Path, name: str, content: str, message: str) -> None:
    write(tmp_path)
    (tmp_path / name).write_text(content + "\n")
    with pytest.raises(InputError, match=message) as caught:
        load_collection(tmp_path)
    assert caught.value.field == "data"


def test_what_is_no_collection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="did you mean cranfield"):
        load_collection("cranfeld")
    with pytest.raises(InputError, match="is no folder"):
        load_collection(tmp_path / "none")
    with pytest.raises(InputError, match="holds no corpus"):
        load_collection(tmp_path)
    monkeypatch.delenv("ETUDE_DATA", raising=False)
    monkeypatch.setenv("ETUDE_CACHE", str(tmp_path))
    with pytest.raises(InputError, match=r"ir_npl is not on this machine: put corpus\.jsonl\.gz"):
        load_collection("npl")
