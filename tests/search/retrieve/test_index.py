"""Indexes: built as a stream, added to, deleted from, reopened; a killed process leaves the old one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from etude.errors import InputError
from etude.search.collection import Document
from etude.search.retrieve import BM25, Index, open_index
from etude.search.retrieve.bm25 import Words
from etude.search.retrieve.index import built_in
from etude.search.retrieve.manifest import read_manifest
from etude.search.runs import read_run, write_run

WORDS = ("wing", "tail", "rudder", "engine", "cabin", "wheel", "wing tip", "tail wheel")
QUERIES = {"q1": "wings", "q2": "a tail with a wheel"}


def documents(first: int = 0, last: int = len(WORDS)) -> list[Document]:
    return [Document(f"d{n}", f"the {WORDS[n]} of plane {n}", title=WORDS[n]) for n in range(first, last)]


@pytest.fixture
def index() -> Index:
    return BM25().index(documents())


def test_saved_and_opened_it_finds_the_same(index: Index, tmp_path: Path) -> None:
    index.save(tmp_path / "index")
    opened = open_index(tmp_path / "index")
    assert opened.search(QUERIES) == index.search(QUERIES)
    assert opened.method == BM25() and len(opened) == len(WORDS)
    write_run(tmp_path / "run.trec", opened.search(QUERIES))
    assert [*read_run(tmp_path / "run.trec")["q1"]] == ["d0", "d6"]


def test_added_in_parts_it_finds_the_same_as_built_at_once(index: Index) -> None:
    grown = BM25().index(documents(0, 3))
    grown.add(documents(3, 4))
    grown.add(iter(documents(4)))
    assert len(grown.manifest.segments) == 3
    assert grown.search(QUERIES) == index.search(QUERIES)


def test_built_in_small_segments_it_finds_the_same(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Words, "segment", 3)
    small = BM25().index(documents())
    assert len(small.manifest.segments) == 3
    assert small.search(QUERIES) == index.search(QUERIES)
    assert small.documents(["d7", "d0"]) == [documents()[7], documents()[0]]


def test_deleted_documents_are_not_found_and_may_come_again(index: Index, tmp_path: Path) -> None:
    index = index.save(tmp_path / "index")
    index.delete(["d0", "d7"])
    index.delete(["d1"])
    assert [*index.search({"q": "wing"}, k=1)["q"]] == ["d6"]
    assert len(index) == len(WORDS) - 3
    with pytest.raises(InputError, match="'d0' is not in the index"):
        index.delete(["d2", "d0"])
    index.add([Document("d0", "a wing anew")])
    assert [*open_index(tmp_path / "index").search({"q": "wing"}, k=3)["q"]] == ["d6", "d0"]
    assert open_index(tmp_path / "index").documents(["d0"])[0].text == "a wing anew"
    assert len([*(tmp_path / "index").glob("deleted-*")]) == 1


def test_compact_gives_back_what_was_deleted(index: Index, tmp_path: Path) -> None:
    index = index.save(tmp_path / "index")
    index.delete(["d1", "d2"])
    index.add([Document("d1", "a wing anew")])
    index.compact()
    assert len(index.manifest.segments) == 1 and not index.manifest.deleted
    assert sorted(path.name[:8] for path in index.folder.iterdir()) == ["index.js", "index.lo", "segment-"]
    rest = [each for each in documents() if each.id not in ("d1", "d2")]
    expected = BM25().index([*rest, Document("d1", "a wing anew")]).search(QUERIES)
    assert index.search(QUERIES) == open_index(tmp_path / "index").search(QUERIES) == expected


def test_only_some_documents_are_searched(index: Index) -> None:
    assert [*index.search({"q": "wing"}, within=["d6", "d1"])["q"]] == ["d6"]
    assert index.search({"q": "wing"}, within=[]) == {"q": {}}


def test_a_corpus_is_read_once_and_as_a_stream(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Words, "segment", 2)
    seen: list[int] = []

    def stream() -> Iterator[Document]:
        for document in documents():
            seen.append(len([*tmp_path.glob("*/segment-*")]))
            yield document

    with built_in(tmp_path):
        index = BM25().index(stream())
    assert seen == [0, 0, 1, 1, 2, 2, 3, 3]
    del index
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("added", "message"),
    [
        ([Document("d3", "again")], "'d3' is there already"),
        ([Document("n", "new"), Document("n", "new")], "'n' is there twice"),
        ([Document("n", "new"), "text"], "is no Document"),
        ("text", "is no corpus"),
    ],
)
@pytest.mark.parametrize("size", [1, 100])
def test_what_cannot_be_added_leaves_the_index_as_it_was(
    index: Index,
    added: list[Document],
    message: str,
    size: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(Words, "segment", size)
    index = index.save(tmp_path / "index")
    before, files = index.search(QUERIES), sorted(path.name for path in index.folder.iterdir())
    with pytest.raises(InputError, match=message.replace("twice", "(twice|already)")) as caught:
        index.add(added)
    assert caught.value.field == "corpus"
    assert sorted(path.name for path in index.folder.iterdir() if path.name != "index.lock") == files
    assert index.search(QUERIES) == open_index(tmp_path / "index").search(QUERIES) == before


KILLED = """
import sys, time
from pathlib import Path
from etude.search.collection import Document
from etude.search.retrieve import open_index
from etude.search.retrieve.bm25 import Words

def slowly():
    for number in range(1000):
        yield Document(f"new{number}", "the wing of another plane")
        if number == 10:
            print("going", flush=True)
            time.sleep(60)

Words.segment = 4
open_index(sys.argv[1]).add(slowly())
"""


def test_killed_while_adding_the_old_index_stays(index: Index, tmp_path: Path) -> None:
    index = index.save(tmp_path / "index")
    before = index.search(QUERIES)
    adding = subprocess.Popen([sys.executable, "-c", KILLED, str(index.folder)], stdout=subprocess.PIPE)
    assert adding.stdout is not None and adding.stdout.readline() == b"going\n"
    with pytest.raises(InputError, match="is being changed by another process"):
        index.delete(["d0"])
    os.kill(adding.pid, signal.SIGKILL)
    adding.wait()
    adding.stdout.close()
    assert len([*index.folder.glob("segment-*")]) > 1, "nothing was written before the process was killed"
    assert open_index(tmp_path / "index").search(QUERIES) == before
    index.delete(["d0"])
    assert len([*index.folder.glob("segment-*")]) == 1, "what the killed process left is still there"


def test_two_that_hold_an_index_open_do_not_overwrite_each_other(index: Index, tmp_path: Path) -> None:
    first, second = index.save(tmp_path / "index"), open_index(tmp_path / "index")
    first.delete(["d0"])
    with pytest.raises(InputError, match="was changed by somebody else"):
        second.delete(["d1"])


def test_a_copy_is_its_own(index: Index, tmp_path: Path) -> None:
    copy = index.save(tmp_path / "index")
    index.delete(["d0"])
    assert "d0" in copy.search(QUERIES)["q1"] and "d0" not in index.search(QUERIES)["q1"]
    with pytest.raises(InputError, match="not empty"):
        index.save(tmp_path / "index")


def test_an_index_of_another_encoder_is_refused(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.save(tmp_path / "index")
    monkeypatch.setattr(Words, "fingerprint", "0123456789abcdef")
    with pytest.raises(InputError, match="was built by another encoder") as caught:
        open_index(tmp_path / "index")
    assert caught.value.field == "encoder"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 99}, "version 99"),
        ({"method": "bm26"}, "did you mean bm25"),
        ({"parameters": {"k1": -1.0}}, "k1"),
        ({"segments": ["../elsewhere"]}, "lacks"),
        ({"segments": ["segment-0"]}, "lacks"),
        ({"engine": 3}, "damaged|lacks"),
    ],
)
def test_a_damaged_index_is_refused(
    index: Index, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    index.save(tmp_path / "index")
    path = tmp_path / "index" / "index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=message):
        open_index(tmp_path / "index")
    path.write_text("{")
    with pytest.raises(InputError, match="damaged"):
        read_manifest(tmp_path / "index")


def test_what_is_no_question_is_refused(index: Index) -> None:
    assert index.search({}) == {}
    assert index.search({"q": ""}) == {"q": {}}
    for queries, k, field in (("wing", 1, "queries"), ({"q": 1}, 1, "queries"), ({"q": "wing"}, 0, "k")):
        with pytest.raises(InputError) as caught:
            index.search(queries, k)  # type: ignore[arg-type]
        assert caught.value.field == field


def test_opening_takes_no_time(index: Index, tmp_path: Path) -> None:
    index.save(tmp_path / "index")
    start = time.process_time()
    open_index(tmp_path / "index")
    assert time.process_time() - start < 0.5


def test_identifiers_are_remembered_and_none_is_mixed_up(index: Index) -> None:
    index.add([Document("late", "a wing with a tail")])
    stored = index.stored
    expected = [*(f"d{n}" for n in range(len(WORDS))), "late"]
    assert stored.ids(np.array([8, 0, 8])) == ["late", "d0", "late"]
    assert stored.named(np.array([[1, 0], [8, -1]])) == [["d1", "d0"], ["late", ""]]
    assert stored.ids(np.arange(9)) == stored.ids() == expected
