"""Long documents put together from real paragraphs, so that it is known where the answer stands.

The English paragraphs of XQuAD, five to an article, are dealt out to documents of 8 to 13 paragraphs of
different articles, each paragraph to four documents, in random places. A question is answered by the four
documents that hold its paragraph; those that hold other paragraphs of its article are near misses.
"""

from __future__ import annotations

import random
from functools import lru_cache
from pathlib import Path
from typing import Any

from etude.data.documents import Collection, Document
from etude.data.rows import rows
from etude.data.sets import find_folder, missing

NAMES = {"xquad-long": "92 documents of 8 to 13 paragraphs of different articles of XQuAD, 1,190 questions"}
"""Collections by name."""

COPIES, FEWEST, MOST, SEED = 4, 8, 13, 0
_HOME = "https://github.com/google-deepmind/xquad"


def load(name: str) -> Collection:
    """One of `NAMES`.

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
    found: list[dict[str, Any]] = [row for _, row in rows(path)]
    articles = {row["context"]: str(row["title"]) for row in found}
    dealt = deal(articles, random.Random(SEED))
    documents = tuple(Document(str(place), "\n".join(parts)) for place, parts in enumerate(dealt))
    holders: dict[str, dict[str, int]] = {}
    for document, parts in zip(documents, dealt, strict=True):
        for part in parts:
            holders.setdefault(part, {})[document.id] = 1
    return Collection(
        documents,
        {row["id"]: row["question"] for row in found},
        {row["id"]: holders[row["context"]] for row in found},
    )


def deal(articles: dict[str, str], draw: random.Random) -> list[list[str]]:
    """Paragraphs dealt out to documents, `COPIES` times each, no article twice to one document.

    Parameters
    ----------
    articles : the article of each paragraph.
    draw : what shuffles, and draws how long documents are.

    Examples
    --------
    >>> paragraphs = {f"{article}{number}": article for article in "abcdefghijklm" for number in (1, 2)}
    >>> documents = deal(paragraphs, random.Random(0))
    >>> sorted(paragraph for document in documents for paragraph in document) == sorted([*paragraphs] * 4)
    True
    """
    left = [paragraph for _ in range(COPIES) for paragraph in draw.sample([*articles], len(articles))]
    documents: list[list[str]] = []
    while left:
        size, passed = draw.randint(FEWEST, MOST), []
        taken: dict[str, str] = {}
        for paragraph in left:
            if len(taken) < size and articles[paragraph] not in taken:
                taken[articles[paragraph]] = paragraph
            else:
                passed.append(paragraph)
        documents.append([*taken.values()])
        left = passed
    return documents
