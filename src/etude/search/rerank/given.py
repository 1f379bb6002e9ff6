"""What rerankers are given to learn from, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from etude.errors import InputError
from etude.search.collection import Document, Judged


def checked(corpus: Any, judged: Any, run: Any) -> dict[str, Document]:
    """The documents by identifier, if judged queries and their run can be learnt from.

    Raises
    ------
    InputError : naming ``corpus``, ``judged`` or ``run``: if the first holds no document, something else, or
        one twice; if there is no query with a relevant document, or a judged document is not in the corpus;
        if the run lacks a query, or has documents that are not in the corpus.

    Examples
    --------
    >>> corpus = [Document("a", "of wings"), Document("b", "of tails")]
    >>> judged = Judged({"q": "wings?"}, {"q": {"a": 1}})
    >>> list(checked(corpus, judged, {"q": {"b": 2.0, "a": 1.0}}))
    ['a', 'b']
    """
    documents = checked_corpus(corpus)
    _check_judged(judged, documents)
    if not isinstance(run, Mapping):
        raise InputError("run", "is needed: what the first stage finds for the judged queries")
    for query in judged.queries:
        if not isinstance(run.get(query), Mapping):
            raise InputError("run", f"lacks the judged query {query!r}")
        if lacking := next((name for name in run[query] if name not in documents), None):
            raise InputError("run", f"names {lacking!r}, which is not in the corpus")
    return documents


def checked_corpus(corpus: Any) -> dict[str, Document]:
    """The documents by identifier, if there are some, and none twice."""
    try:
        rows = [*corpus]
    except TypeError:
        raise InputError("corpus", f"{corpus!r:.60} is no corpus") from None
    if not rows:
        raise InputError("corpus", "holds no document")
    for row in rows:
        if not isinstance(row, Document):
            raise InputError("corpus", f"{row!r:.60} is no Document")
    documents = {row.id: row for row in rows}
    if len(documents) < len(rows):
        raise InputError("corpus", "holds a document twice")
    return documents


def _check_judged(judged: Any, documents: Mapping[str, Document]) -> None:
    if not isinstance(judged, Judged) or not judged.queries:
        raise InputError("judged", "holds no judged query")
    for query in judged.queries:
        grades = judged.qrels.get(query)
        if not grades:
            raise InputError("judged", f"the query {query!r} has no judgements")
        if max(grades.values()) <= 0:
            raise InputError("judged", f"the query {query!r} has no relevant document")
        if lacking := next((name for name in grades if name not in documents), None):
            raise InputError("judged", f"names {lacking!r}, which is not in the corpus")
