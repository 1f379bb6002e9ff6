"""GENRE as a retriever: a title is a document, or several; documents come and go with their titles."""

from __future__ import annotations

from pathlib import Path

import pytest

from etude.errors import InputError
from etude.search.collection import Document, Judged
from etude.search.retrieve import Genre, Index, open_index
from etude.search.retrieve.genre_engine import name_of, pairs

DOCUMENTS = [
    Document("a", "It lifts the plane.", "Wing"),
    Document("b", "She lost them.", "Keys"),
    Document("c", "Another pair of keys.", "Keys"),
    Document("d", "It steadies the plane.", "Wing and tail"),
]
SMALL = Genre(steps=2, width=32, layers=1, beams=10)


@pytest.fixture(scope="module")
def index() -> Index:
    return SMALL.index(DOCUMENTS, seed=0)


def test_with_enough_beams_every_document_is_found(index: Index) -> None:
    found = index.search({"q": "the plane"})["q"]
    assert set(found) == {"a", "b", "c", "d"}
    assert [*found.values()] == sorted(found.values(), reverse=True)


def test_documents_of_one_title_score_alike(index: Index) -> None:
    found = index.search({"q": "the plane"})["q"]
    assert found["b"] == found["c"]
    assert [document for document in found if document in "bc"] == ["b", "c"]


def test_only_titles_of_documents_that_are_asked_for_are_generated(index: Index) -> None:
    assert set(index.search({"q": "keys"}, within=["c", "d"])["q"]) == {"c", "d"}


def test_titles_come_and_go_and_change_no_score_of_the_others(tmp_path: Path) -> None:
    index = SMALL.index(DOCUMENTS, seed=0).save(tmp_path / "index")
    before = index.search({"q": "the plane"})["q"]
    index.add([Document("e", "", "Library"), Document("f", "", "Wing")])
    index.delete(["b", "c"])
    again = open_index(tmp_path / "index")
    for opened in (index, again):
        found = opened.search({"q": "the plane"})["q"]
        assert set(found) == {"a", "d", "e", "f"}
        assert found["a"] == found["f"] == pytest.approx(before["a"], abs=1e-5)


def test_the_compact_tree_finds_the_same(tmp_path: Path, index: Index) -> None:
    compact = Genre(steps=2, width=32, layers=1, beams=10, compact=True).index(DOCUMENTS, seed=0)
    assert compact.search({"q": "the plane"}) == index.search({"q": "the plane"})


def test_a_pair_for_each_relevant_document_and_each_window() -> None:
    judged = Judged({"q": "what lifts", "r": "?"}, {"q": {"a": 1, "b": 0, "z": 1}, "r": {}})
    found = pairs(DOCUMENTS[:2], judged)
    assert found == [("what lifts", "Wing"), ("It lifts the plane.", "Wing"), ("She lost them.", "Keys")]


def test_what_stands_for_a_title() -> None:
    assert name_of(Document("7", "")) == "7"
    assert len(name_of(Document("7", "of the wing " * 20)).split()) == 12


def test_a_causal_model_names_too(tmp_path: Path) -> None:
    found = Genre(model="nano-llama", steps=0, beams=3).index(DOCUMENTS).search({"q": "She lost her"})["q"]
    assert set(found) <= {"a", "b", "c", "d"} and len(found) >= 3


def test_a_model_that_generates_nothing_is_refused() -> None:
    with pytest.raises(InputError, match=r"^model: "):
        Genre(model="minilm", steps=0).index(DOCUMENTS)
    with pytest.raises(InputError, match=r"^steps: "):
        Genre(steps=0)
