"""Collections of XQuAD, of made languages, of headings and of ReQA."""

from __future__ import annotations

import pytest

from etude.data import reqa, xquad
from etude.data.collections import load_collection
from etude.data.pages import Page, Section
from etude.data.scripts import SCRIPTS, written
from etude.data.sets import find_folder

XQUAD = pytest.mark.skipif(find_folder("xquad") is None, reason="XQuAD is not on this machine")
TEXT = "In 1912, the ship sank. Who was it?"


def test_scripts_share_no_letter_and_keep_the_rest() -> None:
    found = {script: written(TEXT, script) for script in ("latin", *SCRIPTS)}
    letters = [{c for c in text if c.isalpha()} for text in found.values()]
    assert all(not a & b for i, a in enumerate(letters) for b in letters[:i])
    assert found["latin"] == TEXT and all("1912" in text and text.endswith("?") for text in found.values())
    assert len({len(text) for text in found.values()}) == 1
    first = written("sank", "armenian")
    assert found["armenian"].startswith(first)  # the words of each sentence from last to first


@XQUAD
def test_halves_of_xquad_share_no_paragraph() -> None:
    train, test = load_collection("xquad-train-de"), load_collection("xquad-de")
    assert not {d.text for d in train.documents} & {d.text for d in test.documents}
    assert not set(train.queries) & set(test.queries)
    assert len(train.documents) + len(test.documents) == 240
    assert len(train.queries) + len(test.queries) == 1190
    english, made = load_collection("xquad-en"), load_collection("xquad-cyrillic")
    assert english.qrels == made.qrels == test.qrels  # parallel
    assert made.documents[0].text == written(english.documents[0].text, "cyrillic")
    assert set(xquad.NAMES) >= {"xquad-en", "xquad-train-armenian"}


@XQUAD
def test_reqa_s_right_sentence_holds_the_answer() -> None:
    collection = load_collection("reqa-xquad")
    texts = {document.id: document.text for document in collection.documents}
    assert len(collection.queries) == 1190
    assert all(reqa.SEPARATOR in text for text in texts.values())
    assert all(len(grades) == 1 and set(grades) <= set(texts) for grades in collection.qrels.values())
    sentence = texts[next(iter(collection.qrels["56beb4343aeaaa14008c925b"]))].partition(reqa.SEPARATOR)[0]
    assert "308" in sentence


def test_headings_that_stand_once_are_asked() -> None:
    pages = [
        Page(
            "a",
            "A",
            (
                Section(
                    "1.1 How a wing lifts",
                    ("Air flows over it, and it rises.", "Bent is better than flat, mostly."),
                ),
                Section("Notes of all kinds", ("The same text on both of them.",)),
            ),
        ),
        Page(
            "b",
            "B",
            (
                Section(
                    "notes of all kinds", ("The same text on both of them.", "And one more of its own here.")
                ),
            ),
        ),
        Page("c", "C", (Section("Too short", ("Nothing is asked for this passage.",)),)),
    ]
    found = reqa.headings(pages)
    assert found.queries == {"a#0": "How a wing lifts"} and found.qrels == {"a#0": {"a#0": 1}}
    assert [document.id for document in found.documents] == ["a#0", "a#1", "b#0", "c#0"]
    assert all("wing lifts" not in document.text for document in found.documents)
