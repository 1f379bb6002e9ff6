"""What counts as right."""

from __future__ import annotations

import pytest

from etude.search.collection import Document
from etude.search.rag.quality import (
    Quality,
    first_with_answer,
    has_answer,
    majority,
    normalised,
    quality,
    top_k,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Beatles", "beatles"),
        ("a  theatre, an aunt", "theatre aunt"),
        ("U.S.A.", "usa"),
        ("co-operate", "cooperate"),
        ("3.14 %", "314"),
        ("café", "caf"),
        ("巴黎", ""),
        ("the", ""),
    ],
)
def test_normalised(text: str, expected: str) -> None:
    assert normalised(text) == expected


def test_overlap_is_the_best_over_the_accepted_one_by_one() -> None:
    """Precision of one accepted answer, recall of another: each is the best there is."""
    found = quality("big red dog", ["red", "big red dog house of mine"])
    assert found == Quality(exact=0.0, f1=2 / 3, precision=1.0, recall=1.0, contains=1.0)


def test_repeated_words_count_as_often_as_both_have_them() -> None:
    assert quality("dog dog dog", ["dog dog"]).precision == pytest.approx(2 / 3)


def test_nothing_is_matched_by_what_normalisation_leaves_nothing_of() -> None:
    assert quality("anything", ["巴黎", "the"]) == Quality(0.0, 0.0, 0.0, 0.0, 0.0)
    assert quality("", ["巴黎"]).exact == 0.0
    assert not has_answer("anything", ["", " "])


@pytest.mark.parametrize(
    ("passage", "answer", "found"),
    [
        ("He died in 1066, at Hastings.", "1066", True),
        ("He died in 10665.", "1066", False),
        ("São Paulo is large", "sao paulo", False),  # marks are part of a word
        ("São Paulo is large", "SA\u0303O PAULO", True),  # however they are written
        ("It cost 5 % more", "5%", True),
        ("one two  three", "two three", True),
        ("one two, three", "two three", False),
        ("東京は首都", "東京", False),  # one run of letters
    ],
)
def test_has_answer(passage: str, answer: str, found: bool) -> None:
    assert has_answer(passage, [answer]) is found


def test_top_k() -> None:
    passages = [Document("a", "nothing"), Document("b", "the year 1066"), Document("c", "1066")]
    assert first_with_answer(passages, ["1066"]) == 2
    assert first_with_answer(passages, ["1067"]) is None
    assert [top_k([2, None, 1], k) for k in (1, 2, 5)] == [1 / 3, 2 / 3, 2 / 3]


def test_majority_is_of_normalised_answers_and_ties_go_to_the_first() -> None:
    assert majority(["1066.", "in 1067", "The 1066", "in 1067"]) == "1066."
    assert majority(["x", "y"]) == "x"
    assert majority(["", "?", "y"]) == "y"
    assert majority(["?", ""]) == "?"
