"""What is searched, and what is asked: documents, queries, judgements (`etude.data.documents`)."""

from __future__ import annotations

from etude.data.documents import Collection, Corpus, Document, Judged, Qrels, Queries, Run

__all__ = ["Collection", "Corpus", "Document", "Judged", "Qrels", "Queries", "Run"]
