"""Reranking: a question and candidates in, the same candidates in a better order out."""

from __future__ import annotations

from etude.search.rerank.first import First
from etude.search.rerank.first_stage import FirstStage
from etude.search.rerank.full_ranking import FullRanking
from etude.search.rerank.idcm import IDCM
from etude.search.rerank.rankgpt import RankGPT
from etude.search.rerank.reranking import Ranking, Reranker, load_reranker, rerank

__all__ = [
    "IDCM",
    "First",
    "FirstStage",
    "FullRanking",
    "RankGPT",
    "Ranking",
    "Reranker",
    "load_reranker",
    "rerank",
]
