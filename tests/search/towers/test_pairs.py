"""Pairs of questions and passages: what each task takes, and from where."""

from __future__ import annotations

import json
import random
from itertools import islice
from pathlib import Path

import pytest

from etude.data.pages import Page, Section
from etude.data.pages.passages import passages
from etude.errors import InputError
from etude.search.collection import Document
from etude.search.towers.pairs import Source, leaks, page_of, write_pairs

WINGS = Page(
    "wings",
    "Wings",
    (
        Section("Wings", ("A wing lifts an aircraft into the air. Birds have wings as well.",)),
        Section("Form", ("The upper side of a wing is bent. Air flows faster over the bent side.",)),
        Section("Notes", ("Copied on every page of all.", "Too short.")),
    ),
    ("tails", "books"),
)
TAILS = Page(
    "tails",
    "Tails",
    (
        Section("Tails", ("A tail keeps an aircraft steady in flight.",)),
        Section("Notes", ("Copied on every page of all.",)),
    ),
    (),
)
BOOKS = Page(
    "books", "Books", (Section("", ("Old books smell of dust and time. They are lent out.",)),), ("wings",)
)
PAGES = [WINGS, TAILS, BOOKS]
SOURCE = Source(PAGES)


def every(kind: str, source: Source = SOURCE, count: int = 60) -> list:  # type: ignore[type-arg]
    return list(islice(source.drawn([kind], 0), count))  # type: ignore[list-item]


def test_passages_cross_no_section_and_come_once() -> None:
    found = [passage for own in SOURCE.passages.values() for passage in own]
    assert len({passage.text for passage in found}) == len(found) == 5
    assert [passage.section for passage in SOURCE.passages["wings"]] == [0, 1, 2]
    assert all("Too short" not in passage.text for passage in found)
    long = Page("a", "A", (Section("", tuple(f"Paragraph number {i} has six words." for i in range(6))),))
    assert [len(passage.sentences) for passage in passages(long, words=12)] == [2, 2, 2]
    assert [len(passage.sentences) for passage in passages(long, words=1)] == [1] * 6


def test_inverse_cloze_takes_the_sentence_out() -> None:
    whole = {(p.page, frozenset(p.sentences)): p for own in SOURCE.passages.values() for p in own}
    for pair in every("ict"):
        assert pair.query not in pair.passage and pair.page == pair.asked
        rest = [p for (page, found), p in whole.items() if page == pair.page and pair.query in found]
        assert sorted(rest[0].text.split()) == sorted(f"{pair.query} {pair.passage}".split())
        assert len(rest[0].sentences) > 1
        assert pair.title == rest[0].title
    assert {pair.page for pair in every("ict")} == {"wings", "books"}  # tails has but single sentences


def test_the_sentence_may_stay() -> None:
    assert all(pair.query in pair.passage for pair in every("ict", Source(PAGES, keep=1.0)))
    half = [pair.query in pair.passage for pair in every("ict", Source(PAGES, keep=0.5), 400)]
    assert 150 < sum(half) < 250


def test_body_first_asks_the_first_section_for_other_passages_of_the_page() -> None:
    pairs = every("bfs")
    assert {pair.page for pair in pairs} == {"wings"}
    first = SOURCE.passages["wings"][0]
    for pair in pairs:
        assert pair.page == pair.asked and pair.query in first.sentences and pair.query not in pair.passage
        assert pair.passage in [passage.text for passage in SOURCE.passages[pair.page]]


def test_links_lead_from_the_passage_to_the_question() -> None:
    pages = {page.id: page for page in PAGES}
    pairs = every("wlp")
    assert {(pair.page, pair.asked) for pair in pairs} == {
        ("wings", "tails"),
        ("wings", "books"),
        ("books", "wings"),
    }
    for pair in pairs:
        assert pair.asked in pages[pair.page].links and pair.asked != pair.page
        assert pair.query in SOURCE.passages[pair.asked][0].sentences
        assert pair.passage in [passage.text for passage in SOURCE.passages[pair.page]]
        assert pair.title == pages[pair.page].title


def test_tasks_come_in_equal_numbers_and_the_same_for_a_seed() -> None:
    pairs = list(islice(SOURCE.drawn(["ict", "bfs", "wlp"], 1), 600))
    counts = [sum(pair.kind == kind for pair in pairs) for kind in ("ict", "bfs", "wlp")]
    assert sum(counts) == 600 and min(counts) > 150
    assert pairs == list(islice(SOURCE.drawn(["ict", "bfs", "wlp"], 1), 600))


def test_what_pages_have_no_pairs_for_is_said() -> None:
    plain = Source(
        [page_of(Document("a", "One single paragraph of text. It has two sentences in all.", "A"))]
    )
    assert plain.kinds() == ["ict"]
    with pytest.raises(InputError, match=r"^tasks:"):
        next(plain.drawn(["wlp"], 0))
    with pytest.raises(InputError, match=r"^pages:"):
        Source([page_of(Document("a", "Short."))])


def test_questions_that_were_trained_on_are_found() -> None:
    pairs = every("ict")
    assert leaks(pairs, ["What is this?"]) == []
    assert leaks(pairs, ["What is this?", pairs[0].query.upper()]) == [pairs[0].query.upper()]


def test_pairs_are_written_as_json_lines(tmp_path: Path) -> None:
    write_pairs(every("wlp", count=3), tmp_path / "pairs.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text().splitlines()]
    assert len(rows) == 3 and set(rows[0]) == {"query", "passage", "title", "page", "asked", "kind"}


def test_draws_are_python_s_own() -> None:
    state = random.getstate()
    every("ict")
    assert random.getstate() == state
