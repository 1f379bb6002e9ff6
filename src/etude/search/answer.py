"""One question to an index, perhaps reranked, with what a reader wants to see of each document."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from etude.search.collection import Document
from etude.search.rerank.reranking import Counts, Reranker, rerank
from etude.search.retrieve.index import Index

_SNIPPET = 30
"""Words of a snippet."""


@dataclass(frozen=True)
class Answer:
    """What was found for a question.

    Parameters
    ----------
    documents : best first.
    scores : one for each, the reranker's if there was one.
    counts : what reranking read and generated; None without.
    """

    documents: tuple[Document, ...]
    scores: tuple[float, ...]
    counts: Counts | None = None


def answer(
    index: Index, question: str, k: int = 10, reranker: Reranker | None = None, depth: int = 100
) -> Answer:
    """Ask an index, and let a reranker put the first ``depth`` documents in order.

    Parameters
    ----------
    index : that is asked.
    question : in words.
    k : how many documents to return.
    reranker : None for the index's own order.
    depth : how many documents are reranked, at least ``k``.

    Raises
    ------
    InputError : naming ``k`` if it is below 1.

    Examples
    --------
    >>> from etude.search.retrieve import BM25
    >>> index = BM25().index([Document("a", "the wing of a bird"), Document("b", "a bird sings")])
    >>> [document.id for document in answer(index, "wings", k=1).documents]
    ['a']
    """
    run = index.search({"q": question}, k if reranker is None else max(k, depth))
    counts, found = None, {document.id: document for document in index.documents([*run["q"]])}
    if reranker is not None:
        run, counts = rerank(reranker, {"q": question}, found, run, max(k, depth))
    best = [*run["q"]][:k]
    return Answer(tuple(found[name] for name in best), tuple(run["q"][name] for name in best), counts)


def snippet(text: str, question: str, words: int = _SNIPPET) -> str:
    """The part of a text in which most different words of a question begin alike; the first among equals.

    Examples
    --------
    >>> snippet("Once upon a time there was a bird with wings who flew away", "winged birds", words=4)
    '… a bird with wings …'
    """
    parts = text.split()
    stems = {word[:4] for word in _words(question)}
    hits = [{word[:4] for word in _words(part)} & stems for part in parts]
    starts = range(max(1, len(parts) - words + 1))
    best = max(starts, key=lambda start: len(set().union(*hits[start : start + words])))
    shown = " ".join(parts[best : best + words])
    return f"{'… ' if best else ''}{shown}{' …' if best + words < len(parts) else ''}"


def _words(text: str) -> Iterable[str]:
    return (word for word in re.findall(r"\w+", text.lower()) if len(word) > 2)
