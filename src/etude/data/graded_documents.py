"""Documents that answer a query in part: real sentences, put together so that the grades are known.

Of an article of XQuAD, four sentences at a time are the facts of a query, which consists of two rare words of
each. For every grade from 0 to 4, documents of 20 to 40 sentences hold so many of the facts, behind their
first eight sentences, among sentences of other articles. All have the article's title, which thus tells
nothing of the grade. No person wrote these queries or judged these documents.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from etude.data.documents import Collection, Document
from etude.data.rows import rows
from etude.data.sentences import sentences
from etude.data.sets import find_folder, missing

NAMES = {
    "xquad-graded": "queries of eight words on four sentences of XQuAD; documents with none to all of these"
}
"""Collections by name."""

FACTS, EACH, GRADES, FEWEST, MOST, BEHIND, SEED = 4, 2, 5, 20, 40, 8, 0
"""Facts and words of each in a query; grades; sentences of a document; where facts begin; seed."""

_HOME = "https://github.com/google-deepmind/xquad"
_WORD = re.compile(r"[a-z]{4,}")


def load(name: str) -> Collection:
    """One of `NAMES`; two documents for each grade of a query, those of grade 0 among the judged.

    Raises
    ------
    InputError : if the set that it is made from is not on this machine, saying where to get it.
    """
    folder = find_folder("xquad")
    if folder is None:
        raise missing("xquad", "en.jsonl.gz", _HOME)
    return _built(folder / "en.jsonl.gz")


@lru_cache(maxsize=1)
def _built(path: Path) -> Collection:
    draw = random.Random(SEED)
    articles: dict[str, list[str]] = {}
    for context, title in {row["context"]: str(row["title"]) for _, row in rows(path)}.items():
        articles.setdefault(title.replace("_", " "), []).extend(
            sentence for sentence in sentences(context) if 8 <= len(sentence.split()) <= 40
        )
    spread = Counter(word for each in articles.values() for text in each for word in _words(text))
    documents: list[Document] = []
    queries: dict[str, str] = {}
    qrels: dict[str, dict[str, int]] = {}
    for title, own in articles.items():
        others = [text for other, each in articles.items() if other != title for text in each]
        draw.shuffle(own)
        for facts in (own[at : at + FACTS] for at in range(0, len(own) - FACTS + 1, FACTS)):
            query = str(len(queries))
            queries[query] = _query(facts, spread, draw)
            made = [
                (grade, Document(f"{query}-{grade}-{copy}", compose(facts, grade, others, draw), title))
                for grade in range(GRADES)
                for copy in range(2)
            ]
            documents += [document for _, document in made]
            qrels[query] = {document.id: grade for grade, document in made}
    return Collection(tuple(documents), queries, qrels)


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))


def _query(facts: Sequence[str], spread: Counter[str], draw: random.Random) -> str:
    """The rarest words of each fact that other sentences have too, in random order."""
    chosen: list[str] = []
    for fact in facts:
        known = sorted(_words(fact) - set(chosen), key=lambda word: (spread[word] < 2, spread[word], word))
        chosen += known[:EACH]
    draw.shuffle(chosen)
    return " ".join(chosen)


def compose(facts: Sequence[str], grade: int, others: Sequence[str], draw: random.Random) -> str:
    """A document with as many facts as the grade says, in random places behind its first sentences."""
    size = draw.randint(FEWEST, MOST)
    body = draw.sample(others, size - grade)
    for fact in draw.sample(facts, grade):
        body.insert(draw.randint(BEHIND, len(body)), fact)
    return " ".join(body)
