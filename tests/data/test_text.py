"""Documents come out of every usual file as they went in; malformed files are named with line and field."""

from __future__ import annotations

import csv
import gzip
import json
import os
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etude.data.text import documents, read_documents
from etude.errors import InputError

TEXTS = ['One.\nTwo, "three"\tfour.', "Ünïcödé 漢字 \u2028 line", "last"]


def write(path: Path, texts: list[str], field: str = "text") -> Path:
    """Write documents in the format of the path's ending."""
    kind = path.name.removesuffix(".gz").rpartition(".")[2]
    if kind == "parquet":
        pq.write_table(pa.table({"id": range(len(texts)), field: texts}), path)
        return path
    opened: Any = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", encoding="utf-8", newline="") as file:
        if kind == "txt":
            file.write(texts[0])
        elif kind == "jsonl":
            file.writelines(json.dumps({"id": 1, field: text}) + "\n" for text in texts)
        else:
            rows = csv.writer(file, delimiter={"csv": ",", "tsv": "\t"}[kind])
            rows.writerows([["id", field], *([1, text] for text in texts)])
    return path


def refused(path: Path | str, *words: str) -> None:
    with pytest.raises(InputError) as caught:
        read_documents(path)
    assert caught.value.field == "data"
    for word in words:
        assert word in caught.value.message


@pytest.mark.parametrize(
    "name", ["a.jsonl", "a.jsonl.gz", "a.parquet", "a.csv", "a.tsv", "a.csv.gz", "A.JSONL"]
)
def test_documents_come_out_as_they_went_in(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    write(tmp_path / name.lower(), TEXTS)
    (tmp_path / name.lower()).rename(path)
    assert read_documents(path) == TEXTS
    assert read_documents(str(path)) == TEXTS


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_a_text_file_is_one_document(name: str, tmp_path: Path) -> None:
    assert read_documents(write(tmp_path / name, TEXTS)) == TEXTS[:1]


def test_line_ends_and_byte_order_marks_are_not_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo")
    assert read_documents(tmp_path / "a.txt") == ["one\ntwo"]
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"text": "one"}\r\n\r\n{"text": "two"}\r\n')
    assert read_documents(tmp_path / "a.jsonl") == ["one", "two"]


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet", "a.csv"])
def test_other_fields_by_name(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / name, TEXTS, field="body")
    assert read_documents(f"{path}:body") == TEXTS
    refused(path, name, "no field 'text'", "'body'", "FILE:FIELD")
    refused(f"{path}:bdy", "no field 'bdy'")


def test_several_fields_are_joined(tmp_path: Path) -> None:
    path = tmp_path / "papers.jsonl"
    path.write_text('{"title": "A title.", "abstract": "What it says."}')
    assert read_documents(f"{path}:title+abstract") == ["A title.\nWhat it says."]


def test_words_of_a_conll_file_become_sentences(tmp_path: Path) -> None:
    rows = ["-DOCSTART-\tO", "", "We\tO", "gave\tO", "0\tO", ".\tO", "5\tO", "mg\tO", ".\tO", ""]
    rows += ["Parkinson\tB", "'\tI", "s\tI", "disease\tI", "(\tO", "PD\tB", ")\tO", "improved\tO", ".\tO", ""]
    (tmp_path / "a.conll").write_text("\n".join(rows))
    assert read_documents(tmp_path / "a.conll") == ["We gave 0.5 mg. Parkinson's disease (PD) improved."]


def test_a_folder_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    write(tmp_path / "b.jsonl", ["second", "third"])
    write(tmp_path / "a.txt", ["first"])
    write(tmp_path / "sub" / "c.txt.gz", ["fourth"])
    (tmp_path / "README.md").write_text("not text to read")
    (tmp_path / ".hidden.txt").write_text("hidden")
    assert read_documents(tmp_path) == ["first", "second", "third", "fourth"]


def test_links_may_stay_inside_a_folder_and_not_leave_it(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    write(outside / "secret.txt", ["secret"])
    folder = tmp_path / "folder"
    folder.mkdir()
    write(folder / "a.txt", ["inside"])
    (folder / "b.txt").symlink_to(folder / "a.txt")
    assert read_documents(folder) == ["inside", "inside"]
    (folder / "c.txt").symlink_to(outside / "secret.txt")
    refused(folder, "c.txt", "leads out of the folder")
    (folder / "c.txt").unlink()
    (folder / "up").symlink_to(outside)
    refused(folder, "up", "leads out of the folder")


def test_large_files_are_read_as_they_are_used(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    path.write_text('{"text": "good"}\n' * 1000 + "broken\n")
    assert list(islice(documents(path), 5)) == ["good"] * 5
    refused(path, "line 1001", "not JSON")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("broken", ["not JSON"]),
        ('{"text": "cut off', ["not JSON"]),
        ("[1, 2]", ["not an object", "'text'"]),
        ('"text"', ["not an object"]),
        ('{"body": "x"}', ["no field 'text'", "'body'"]),
        ("{}", ["no field 'text'", "it has nothing"]),
        ('{"text": 3}', ["'text' is a int, not text"]),
        ('{"text": null}', ["'text' is empty"]),
        ('{"text": ["x"]}', ["'text' is a list"]),
        ('{"text": ' + "[" * 100_000, ["nested too deeply"]),
    ],
)
def test_malformed_json_lines(line: str, words: list[str], tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "fine"}\n\n' + line + "\n")
    refused(path, "a.jsonl, line 3", *words)


def test_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("Füße".encode("latin-1"))
    refused(tmp_path / "a.txt", "a.txt", "byte 1", "UTF-8")
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "fine"}\n{"text": "F\xfc"}\n')
    refused(tmp_path / "a.jsonl", "line 2", "UTF-8")
    (tmp_path / "a.csv").write_bytes(b"text\nfine\nF\xfc\n")
    refused(tmp_path / "a.csv", "line 3", "UTF-8")


def test_files_that_are_damaged(tmp_path: Path) -> None:
    whole = gzip.compress(json.dumps({"text": "x" * 1000}).encode())
    for damage in (whole[:-3], whole[:20], b"no gzip at all", whole[:30] + b"\xff\xff\xff" + whole[33:]):
        (tmp_path / "a.jsonl.gz").write_bytes(damage)
        refused(tmp_path / "a.jsonl.gz", "a.jsonl.gz", "gzip")
    path = write(tmp_path / "a.parquet", TEXTS)
    path.write_bytes(path.read_bytes()[:-10])
    refused(path, "a.parquet", "Parquet")
    path.write_text("not parquet")
    refused(path, "a.parquet", "Parquet")


def test_tables_that_are_malformed(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    for content, words in (
        ("id,text\n1,fine\n2\n", ["line 3", "columns"]),
        ("id,text\n1,fine\n2,x,y\n", ["line 3", "columns"]),
        ('id,text\n1,"open\n', ["line"]),
        ("id,body\n1,fine\n", ["no field 'text'", "'id', 'body'"]),
    ):
        path.write_text(content)
        refused(path, "a.csv", *words)
    pq.write_table(pa.table({"text": ["fine", None]}), tmp_path / "a.parquet")
    refused(tmp_path / "a.parquet", "row 2", "'text' is empty")
    pq.write_table(pa.table({"text": [1, 2]}), tmp_path / "a.parquet")
    refused(tmp_path / "a.parquet", "row 1", "'text' is a int")


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv", "a.txt.gz", "a.jsonl.gz", "a.conll"])
def test_files_without_any_text(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(b"") if name.endswith(".gz") else b"")
    refused(path, name, "holds no text")
    path.write_bytes(gzip.compress(b"\n \n") if name.endswith(".gz") else b"\n \n")
    if name != "a.csv":
        refused(path, name, "holds no text")


def test_paths_that_are_no_text(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere.txt", "no file or folder")
    refused(f"{tmp_path}/nowhere.txt:field", "no file or folder")
    refused(tmp_path, "holds no text file", ".jsonl")
    (tmp_path / "a.pdf").write_bytes(b"%PDF")
    refused(tmp_path / "a.pdf", "a.pdf", ".jsonl")
    (tmp_path / "a.parquet.gz").write_bytes(b"")
    refused(tmp_path / "a.parquet.gz", "no known kind")
    write(tmp_path / "a.txt", TEXTS)
    refused(f"{tmp_path / 'a.txt'}:body", "has no fields", "'body'")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_files_that_may_not_be_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", TEXTS)
    path.chmod(0)
    refused(path, "cannot be read")


characters = st.characters(exclude_categories=["Cs", "Cc"])
letters = st.text(characters, min_size=1).filter(lambda text: not text.isspace())
formats = st.sampled_from(["a.jsonl.gz", "a.parquet", "a.tsv"])


@settings(max_examples=40, deadline=None)
@given(texts=st.lists(letters, min_size=1, max_size=5), name=formats)
def test_any_text_survives(texts: list[str], name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert read_documents(write(tmp_path_factory.mktemp("text") / name, texts)) == texts
