"""What token encoders learn from: texts that ask, each with the text that answers and some that do not."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from etude.errors import InputError
from etude.search.collection import Document, Judged

_SENTENCE_ENDS = re.compile(r"(?<=[.!?])\s+")
_FEWEST_WORDS = 4
"""Of a sentence that asks."""
_DEPTH = 20
"""Hard negatives are drawn from so many best documents of the first retriever."""


@dataclass(frozen=True)
class Pair:
    """A text that asks, and the text of the document that answers.

    Parameters
    ----------
    query, document : the texts.
    id : of the document; a document of the same identifier is no negative.
    negatives : documents that do not answer.
    """

    query: str
    document: str
    id: str
    negatives: tuple[Document, ...] = ()


def pairs_of(
    documents: Sequence[Document], judged: Judged | None, seed: int, negatives: int = 0
) -> list[Pair]:
    """Pairs of judged queries and their relevant documents; without any, of the documents alone.

    Parameters
    ----------
    documents : of the corpus.
    judged : queries with judgements, if there are any.
    seed : of the sentences and the negatives that are drawn.
    negatives : hard ones of each pair: documents that BM25 finds and that do not answer.

    Raises
    ------
    InputError : naming ``corpus`` if there is nothing to learn from.
    """
    found = from_corpus(documents, seed) if judged is None else from_judged(documents, judged)
    if not found:
        raise InputError("corpus", "holds no text to learn from")
    return with_negatives(found, documents, judged, seed, negatives) if negatives else found


def from_judged(documents: Sequence[Document], judged: Judged) -> list[Pair]:
    """Every query with each document that is relevant to it."""
    texts = {document.id: document.content for document in documents}
    return [
        Pair(judged.queries[query], texts[document], document)
        for query, grades in judged.qrels.items()
        for document, grade in grades.items()
        if grade > 0 and texts.get(document)
    ]


def from_corpus(documents: Sequence[Document], seed: int) -> list[Pair]:
    """Titles with the text below, and sentences with the text around them (the inverse cloze task).

    Examples
    --------
    >>> wing = Document("7", "A wing lifts. The faster the air flows, the more.", title="Of wings")
    >>> [(pair.query, pair.document) for pair in from_corpus([wing], seed=0)]
    [('Of wings', 'A wing lifts. The faster the air flows, the more.'),
     ('The faster the air flows, the more.', 'Of wings A wing lifts.')]

    References
    ----------
    Lee et al., "Latent Retrieval for Weakly Supervised Open Domain Question Answering", ACL 2019.
    """
    generator = random.Random(seed)
    found = []
    for document in documents:
        body = document.text.removeprefix(document.title).strip()
        if document.title and body:
            found.append(Pair(document.title, body, document.id))
        sentences = _SENTENCE_ENDS.split(body)
        asking = [i for i, sentence in enumerate(sentences) if len(sentence.split()) >= _FEWEST_WORDS]
        if asking:
            chosen = generator.choice(asking)
            rest = " ".join([document.title, *sentences[:chosen], *sentences[chosen + 1 :]]).strip()
            found.append(Pair(sentences[chosen], rest or document.text, document.id))
    return found


def with_negatives(
    pairs: Sequence[Pair], documents: Sequence[Document], judged: Judged | None, seed: int, count: int
) -> list[Pair]:
    """Add to each pair documents that BM25 finds for its query among its best 20, and that do not answer."""
    from etude.search.retrieve.bm25 import BM25

    generator = random.Random(seed)
    by_id = {document.id: document for document in documents}
    relevant: dict[str, set[str]] = {}
    for query, grades in judged.qrels.items() if judged else ():
        answers = {document for document, grade in grades.items() if grade > 0}
        relevant.setdefault(judged.queries[query], set()).update(answers)  # type: ignore[union-attr]
    run = BM25().index(documents).search({str(i): pair.query for i, pair in enumerate(pairs)}, k=_DEPTH)
    hard = []
    for pair, found in zip(pairs, run.values(), strict=True):
        wrong = [by_id[each] for each in found if each not in relevant.get(pair.query, {pair.id})]
        hard.append(replace(pair, negatives=tuple(generator.sample(wrong, min(count, len(wrong))))))
    return hard
