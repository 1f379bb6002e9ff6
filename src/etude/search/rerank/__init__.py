"""Reranking: a question and candidates in, the same candidates in a better order out."""

from __future__ import annotations

from etude.search.rerank.bi_encoder import BiEncoder
from etude.search.rerank.cross_encoder import CrossEncoder
from etude.search.rerank.first import First
from etude.search.rerank.first_stage import FirstStage
from etude.search.rerank.full_ranking import FullRanking
from etude.search.rerank.idcm import IDCM
from etude.search.rerank.maxsim import MaxSim
from etude.search.rerank.monot5 import MonoT5
from etude.search.rerank.prp import PRP
from etude.search.rerank.pyramid_ernie import PyramidERNIE
from etude.search.rerank.query_likelihood import QueryLikelihood
from etude.search.rerank.rankgpt import RankGPT
from etude.search.rerank.reranking import Ranking, Reranker, load_reranker, rerank
from etude.search.rerank.yes_no import YesNo

__all__ = [
    "IDCM",
    "PRP",
    "BiEncoder",
    "CrossEncoder",
    "First",
    "FirstStage",
    "FullRanking",
    "MaxSim",
    "MonoT5",
    "PyramidERNIE",
    "QueryLikelihood",
    "RankGPT",
    "Ranking",
    "Reranker",
    "YesNo",
    "load_reranker",
    "rerank",
]
