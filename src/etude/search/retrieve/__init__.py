"""Retrieval: a corpus in, an index out that finds documents for a question."""

from __future__ import annotations

from etude.search.retrieve.bm25 import BM25
from etude.search.retrieve.index import Index, build, open_index

__all__ = ["BM25", "Index", "build", "open_index"]
