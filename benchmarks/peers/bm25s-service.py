"""The least that serves BM25: FastAPI, uvicorn and bm25s, called as ``bm25s-service.py DATA PORT``."""

from __future__ import annotations

import sys

import bm25s
import Stemmer
import uvicorn
from fastapi import FastAPI

from etude.data.collections import load_collection

documents = load_collection(sys.argv[1]).documents
stemmer = Stemmer.Stemmer("english")
words = {"stopwords": "en", "stemmer": stemmer, "show_progress": False}
engine = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
engine.index(bm25s.tokenize([document.content for document in documents], **words), show_progress=False)
names = [document.id for document in documents]
app = FastAPI()


@app.get("/search")
def search(q: str, k: int = 10) -> dict:
    """The best documents for a question."""
    rows, scores = engine.retrieve(bm25s.tokenize([q], **words), k=k, show_progress=False)
    found = zip(rows[0], scores[0], strict=True)
    return {"hits": [{"id": names[row], "score": float(score)} for row, score in found]}


uvicorn.run(app, port=int(sys.argv[2]), access_log=False, log_level="warning")
