"""Retrieval: a corpus in, an index out that finds documents for a question."""

from __future__ import annotations

from etude.search.retrieve.bm25 import BM25
from etude.search.retrieve.colbert import ColBERT
from etude.search.retrieve.colbert_xm import ColBERTXM
from etude.search.retrieve.dense import Dense
from etude.search.retrieve.genre import Genre
from etude.search.retrieve.hyde import HyDE
from etude.search.retrieve.index import Index, build, open_index
from etude.search.retrieve.rrf import ReciprocalRankFusion, WeightedFusion
from etude.search.retrieve.splade import Splade
from etude.search.retrieve.two_tower import TwoTower
from etude.search.retrieve.xtr import XTR

__all__ = [
    "BM25",
    "XTR",
    "ColBERT",
    "ColBERTXM",
    "Dense",
    "Genre",
    "HyDE",
    "Index",
    "ReciprocalRankFusion",
    "Splade",
    "TwoTower",
    "WeightedFusion",
    "build",
    "open_index",
]
