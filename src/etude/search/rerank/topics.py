"""A collection made up for small models, and a small model for it: words belong to topics, known to nobody.

A document is a handful of words of several topics, and how many of them are of the query's own topic is its
grade. A first stage that compares words finds few of them; a model can learn which words go together.
"""

from __future__ import annotations

import random
import re
from functools import cache

from etude.search.collection import Collection, Document

TOPICS = 12
WORDS = 30
LENGTH = 6
"""Of topics, of a topic's words, of a document's words."""


def word(topic: int, number: int) -> str:
    """A word of a topic; its name says which only to us.

    Examples
    --------
    >>> word(2, 5)
    'c5'
    """
    return f"{chr(ord('a') + topic)}{number}"


def pool_of(name: str) -> int | None:
    """How many documents of a query are judged in the collection of that name; None for another name.

    Examples
    --------
    >>> pool_of("topics-8"), pool_of("cranfield")
    (8, None)
    """
    found = re.fullmatch(r"topics-([1-9]\d?)", name)
    return int(found[1]) if found else None


@cache
def collection(pool: int, documents: int = 600, queries: int = 3000, seed: int = 0) -> Collection:
    """Documents and queries of one topic each, judged where BM25 finds them among the first ``pool``.

    Of a document's words, 0 to 6 are of its topic, the others of any. A query is three words of its topic. A
    document's grade is half the number of its words that are of the query's topic, rounded down.

    Examples
    --------
    >>> made = collection(pool=3, documents=50, queries=5)
    >>> len(made.documents), len(made.queries) <= 5
    (50, True)
    """
    from etude.search.retrieve import BM25

    draw = random.Random(seed)
    corpus = [Document(f"d{number}", _text(draw)) for number in range(documents)]
    of = {f"q{number}": draw.randrange(TOPICS) for number in range(queries)}
    texts = {q: " ".join(word(topic, n) for n in draw.sample(range(WORDS), 3)) for q, topic in of.items()}
    contents = {document.id: document.text for document in corpus}
    found = BM25().index(corpus).search(texts, pool)
    qrels = {q: {name: _grade(contents[name], of[q]) for name in ranking} for q, ranking in found.items()}
    judged = {q: text for q, text in texts.items() if max(qrels[q].values(), default=0) > 0}
    return Collection(corpus, judged, {q: qrels[q] for q in judged})


def _text(draw: random.Random) -> str:
    topic, own = draw.randrange(TOPICS), draw.randint(0, LENGTH)
    topics = [topic] * own + [draw.randrange(TOPICS) for _ in range(LENGTH - own)]
    words = [word(each, draw.randrange(WORDS)) for each in topics]
    draw.shuffle(words)
    return " ".join(words)


def _grade(text: str, topic: int) -> int:
    return sum(each[0] == word(topic, 0)[0] for each in text.split()) // 2
