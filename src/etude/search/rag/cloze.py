"""Questions made of running text: a sentence with a name left out, and passages, one of which holds it.

Passages are a few sentences each. A question is one of their sentences, of which a part of the words and one
name are left out; the name is the answer. Beside the passage that it comes from stand others of the same
novel, in no order. Looking up is all that it takes, and knowing the novel helps nobody. No person wrote these
questions.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from etude.data.questions import Question, QuestionSet
from etude.data.sentences import sentences
from etude.data.sources import load
from etude.search.collection import Document

NAME = "cloze"
BLANK = "____"
"""Stands where the name was."""

FEWEST, MOST, LEFT_OUT, PASSAGES = 12, 30, 0.2, 10
"""Words of a passage; the share of a question's words that are left out; passages a question."""

PROPER = re.compile(r"(?<=[a-z,;] )[A-Z][a-z]{2,}(?: [A-Z][a-z]{2,})*")
"""A name within a sentence."""
WORDS = re.compile(r"\b[A-Za-z]{4,}(?: [A-Z][a-z]{2,})*")
"""Words of four letters and more, with names behind them: what a reader learns from, as there are more."""


class Cloze(NamedTuple):
    """A question, its answer, the whole sentence, and its passage: of which novel, and where in that."""

    question: str
    answer: str
    sentence: str
    novel: int
    place: int


def passages(text: str) -> list[str]:
    """Consecutive sentences, together 12 to 30 words; sentences that are longer are left out.

    Examples
    --------
    >>> [len(each.split()) for each in passages("He saw a ship at sea. " * 6)]
    [12, 12, 12]
    """
    found: list[str] = []
    kept: list[str] = []
    for sentence in sentences(text):
        words = sentence.split()
        if len(kept) + len(words) > MOST:
            kept = []
        if len(words) <= MOST:
            kept += words
        if len(kept) >= FEWEST:
            found.append(" ".join(kept))
            kept = []
    return found


def clozes(
    novels: Sequence[Sequence[str]], draw: random.Random, left_out: re.Pattern[str] = PROPER
) -> list[Cloze]:
    """A question of every passage that has something to leave out; which of it is drawn.

    Examples
    --------
    >>> (made,) = clozes([["In the morning old Captain Nemo went ashore."]], random.Random(0))
    >>> made.answer, BLANK in made.question
    ('Captain Nemo', True)
    """
    made = []
    for novel, texts in enumerate(novels):
        for place, text in enumerate(texts):
            if found := [(each, name) for each in sentences(text) for name in left_out.finditer(each)]:
                sentence, name = draw.choice(found)
                before, after = sentence[: name.start()], sentence[name.end() :]
                made.append(Cloze(_thinned(before + BLANK + after, draw), name[0], sentence, novel, place))
    return made


def _thinned(text: str, draw: random.Random) -> str:
    return " ".join(word for word in text.split() if BLANK in word or draw.random() >= LEFT_OUT)


def among(place: int, others: Sequence[int], count: int, draw: random.Random) -> list[int]:
    """A place somewhere among others, ``count`` of them together.

    Examples
    --------
    >>> sorted(among(2, [1, 2, 3], 3, random.Random(0)))
    [1, 2, 3]
    """
    return draw.sample([place, *draw.sample([each for each in others if each != place], count - 1)], count)


@cache
def questions(seed: int = 0) -> QuestionSet:
    """The set named ``cloze``: of the novels that are held out, whose authors the reader has not read.

    Every passage that is shown has a name in it.

    Examples
    --------
    >>> len(questions().questions[0].passages)
    10
    """
    novels, draw = [passages(text) for text in load("novels", "evaluation")], random.Random(seed)
    documents = [
        [Document(f"{novel}-{place}", text) for place, text in enumerate(texts)]
        for novel, texts in enumerate(novels)
    ]
    every, made = clozes(novels, draw), []
    for number, cloze in enumerate(every):
        others = [each.place for each in every if each.novel == cloze.novel]
        shown = [documents[cloze.novel][n] for n in among(cloze.place, others, PASSAGES, draw)]
        made.append(Question(str(number), cloze.question, (cloze.answer,), tuple(shown)))
    return QuestionSet(tuple(made), tuple(document for each in documents for document in each))
