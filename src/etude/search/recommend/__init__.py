"""Recommendation: what users had in, what they are likely to have next out."""

from __future__ import annotations

from etude.search.recommend.item_indexing import ItemIndexing
from etude.search.recommend.item_knn import ItemKNN
from etude.search.recommend.popularity import Popularity
from etude.search.recommend.sasrec import SASRec

__all__ = ["ItemIndexing", "ItemKNN", "Popularity", "SASRec"]
