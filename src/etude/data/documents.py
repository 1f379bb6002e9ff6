"""What is searched, and what is asked: documents, queries, judgements."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a corpus.

    Parameters
    ----------
    id : unique in its corpus.
    text : what is searched.
    title : its heading, or "".

    Examples
    --------
    >>> Document("7", "of the wing", title="Flow").content
    'Flow of the wing'
    """

    id: str
    text: str
    title: str = ""

    @property
    def content(self) -> str:
        """Title and text; the text alone where it begins with the title."""
        return self.text if self.text.startswith(self.title) else f"{self.title} {self.text}"


Corpus: TypeAlias = Iterable[Document]
"""Documents that can be gone through again and again; larger than memory, perhaps."""

Queries: TypeAlias = Mapping[str, str]
"""Identifier to text."""

Qrels: TypeAlias = Mapping[str, Mapping[str, int]]
"""Judgements: query to document to grade; above 0 is relevant."""

Run: TypeAlias = Mapping[str, Mapping[str, float]]
"""Results: query to document to score, best first (`etude.search.runs`)."""


@dataclass(frozen=True)
class Judged:
    """Queries with judgements, to learn from.

    Parameters
    ----------
    queries : what was asked.
    qrels : the judged documents of each of them.
    """

    queries: Queries
    qrels: Qrels


@dataclass(frozen=True)
class Collection:
    """A corpus with queries and judgements.

    Parameters
    ----------
    documents : all of them.
    queries : only those with at least one relevant document.
    qrels : the judgements of these queries.
    """

    documents: Sequence[Document]
    queries: Queries
    qrels: Qrels

    @cached_property
    def fingerprint(self) -> str:
        """What identifies documents, queries and judgements."""
        total = hashlib.sha256()
        for part in (*self.documents, self.queries, self.qrels):
            total.update(repr(part).encode())
        return total.hexdigest()
