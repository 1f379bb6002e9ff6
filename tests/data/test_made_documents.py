"""Collections that are put together from real text, so that it is known where the answers stand."""

from __future__ import annotations

import random

import pytest

from etude.data import graded_documents, long_documents
from etude.data.sentences import sentences
from etude.data.sets import find_folder
from etude.errors import InputError

needs_xquad = pytest.mark.skipif(find_folder("xquad") is None, reason="XQuAD is not on this machine")


def test_no_document_holds_two_paragraphs_of_an_article() -> None:
    articles = {f"{article}{number}": article for article in "abcdefghijklmno" for number in range(5)}
    for document in long_documents.deal(articles, random.Random(0)):
        kinds = [articles[paragraph] for paragraph in document]
        assert len(set(kinds)) == len(kinds) <= long_documents.MOST


@needs_xquad
def test_every_question_is_answered_by_the_documents_that_hold_its_paragraph() -> None:
    collection = long_documents.load("xquad-long")
    assert len(collection.documents) == 92 and len(collection.queries) == 1190
    assert {len(grades) for grades in collection.qrels.values()} == {long_documents.COPIES}


@pytest.mark.parametrize("grade", range(5))
def test_a_grade_is_the_number_of_facts_and_these_stand_deep(grade: int) -> None:
    facts, others = ["One.", "Two.", "Three.", "Four."], [f"Other {number}." for number in range(60)]
    found = sentences(graded_documents.compose(facts, grade, others, random.Random(grade)))
    places = [place for place, sentence in enumerate(found) if sentence in facts]
    assert len(places) == grade
    assert all(place >= graded_documents.BEHIND for place in places)
    assert graded_documents.FEWEST <= len(found) <= graded_documents.MOST


@needs_xquad
def test_every_query_has_documents_of_every_grade() -> None:
    collection = graded_documents.load("xquad-graded")
    assert len(collection.queries) == 246
    assert all(
        sorted(grades.values()) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4] for grades in collection.qrels.values()
    )


@pytest.mark.parametrize("module", [long_documents, graded_documents])
def test_it_says_where_to_get_what_is_missing(module: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ETUDE_DATA", raising=False)
    with pytest.raises(InputError, match="data: xquad is not on this machine"):
        module.load("xquad")  # type: ignore[attr-defined]
