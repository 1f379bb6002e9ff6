"""Retrieval-augmented generation: questions in, answers out, from passages that were found for them."""

from etude.search.rag.basic_rag import BasicRAG
from etude.search.rag.chain_of_thought_rag import ChainOfThought
from etude.search.rag.fid import FusionInDecoder
from etude.search.rag.in_context_ralm import InContextRALM
from etude.search.rag.react_rag import ReAct
from etude.search.rag.self_consistency_rag import SelfConsistency
from etude.search.rag.zero_shot import ZeroShot

__all__ = [
    "BasicRAG",
    "ChainOfThought",
    "FusionInDecoder",
    "InContextRALM",
    "ReAct",
    "SelfConsistency",
    "ZeroShot",
]
