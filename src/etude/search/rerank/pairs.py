"""Queries with one document each, relevant or not, to train rerankers that read one at a time."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from etude.errors import InputError
from etude.search.collection import Document, Judged, Run


@dataclass(frozen=True)
class Pair:
    """A query's text, a document's, and whether the one is relevant to the other."""

    query: str
    text: str
    relevant: bool


def judged_pairs(
    judged: Judged, documents: Mapping[str, Document], run: Run, negatives: int, seed: int
) -> list[Pair]:
    """All relevant documents, and for each some others that the first stage found.

    Parameters
    ----------
    judged : queries and their relevant documents.
    documents : by identifier.
    run : what the first stage finds for the queries.
    negatives : for each relevant document, drawn from what the run has and is not relevant.
    seed : of the draw.

    Examples
    --------
    >>> documents = {name: Document(name, f"of {name}") for name in "abc"}
    >>> judged = Judged({"q": "a?"}, {"q": {"a": 1}})
    >>> run = {"q": {"b": 2.0, "a": 1.0}}
    >>> [(pair.text, pair.relevant) for pair in judged_pairs(judged, documents, run, negatives=1, seed=0)]
    [('of a', True), ('of b', False)]
    """
    draw = random.Random(seed)
    pairs = []
    for query, text in judged.queries.items():
        right = [name for name, grade in judged.qrels[query].items() if grade > 0]
        wrong = [name for name in run[query] if judged.qrels[query].get(name, 0) <= 0]
        wrong = draw.sample(wrong, min(len(wrong), negatives * len(right)))
        pairs += [Pair(text, documents[name].content, True) for name in right]
        pairs += [Pair(text, documents[name].content, False) for name in wrong]
    return pairs


def corpus_pairs(documents: Sequence[Document], negatives: int, seed: int) -> list[Pair]:
    """Titles as queries, where there are none first sentences, with the rest of their document or of others.

    Raises
    ------
    InputError : naming ``corpus`` if less than two documents can be divided so.

    Examples
    --------
    >>> documents = [Document("1", "It flies. So do birds."), Document("2", "It reads.", title="Book")]
    >>> [(pair.query, pair.text) for pair in corpus_pairs(documents, negatives=0, seed=0)]
    [('It flies.', 'So do birds.'), ('Book', 'It reads.')]
    """
    draw = random.Random(seed)
    halves = [half for half in map(_halved, documents) if all(half)]
    if len(halves) < 2:
        raise InputError("corpus", "holds less than two documents with a title or several sentences")
    pairs = []
    for place, (query, text) in enumerate(halves):
        others = draw.sample(range(len(halves) - 1), min(negatives, len(halves) - 1))
        pairs.append(Pair(query, text, True))
        pairs += [Pair(query, halves[other + (other >= place)][1], False) for other in others]
    return pairs


def _halved(document: Document) -> tuple[str, str]:
    if document.title:
        return document.title, document.text.removeprefix(document.title).strip()
    first, stop, rest = document.text.partition(". ")
    return f"{first}{stop}".strip(), rest.strip()
