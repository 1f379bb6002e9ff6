"""Questions made of running text: a sentence with a word left out, and passages, one of which holds it.

Passages are a few sentences each. A question is one of their sentences, of which a part of the words and one
more are left out; that one is the answer. Beside the passage that it comes from stand others of the same
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
"""Stands where the word was."""

FEWEST, MOST, LEFT_OUT, PASSAGES, QUESTIONS = 12, 30, 0.2, 10, 1000
"""Words of a passage; the share of a question's words that are left out; passages a question; questions."""

WORDS = re.compile(r"\b[A-Za-z]{4,}(?: [A-Z][a-z]{2,})*")
"""What may be the answer: a word of four letters and more, with the names behind it."""


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


def clozes(novels: Sequence[Sequence[str]], draw: random.Random) -> list[Cloze]:
    """A question of every passage that has something to leave out; which of it is drawn.

    Examples
    --------
    >>> (made,) = clozes([["In the end Captain Nemo was at sea."]], random.Random(0))
    >>> made.answer, BLANK in made.question
    ('Captain Nemo', True)
    """
    made = []
    for novel, texts in enumerate(novels):
        for place, text in enumerate(texts):
            if found := [(each, word) for each in sentences(text) for word in WORDS.finditer(each)]:
                sentence, word = draw.choice(found)
                before, after = sentence[: word.start()], sentence[word.end() :]
                made.append(Cloze(_thinned(before + BLANK + after, draw), word[0], sentence, novel, place))
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
    made = []
    for number, cloze in enumerate(draw.sample(clozes(novels, draw), QUESTIONS)):
        own = documents[cloze.novel]
        shown = tuple(own[n] for n in among(cloze.place, range(len(own)), PASSAGES, draw))
        made.append(Question(str(number), cloze.question, (cloze.answer,), shown))
    return QuestionSet(tuple(made), tuple(document for each in documents for document in each))
