"""Rankify's menu in one place, compared in one way: what holds of fusion, of reranking and of passages.

Each study is one collection, in which nothing is drawn: the three collections stand for the three seeds. BM25
and MiniLM are fused by reciprocal rank; the claim is that fusion costs nothing against the better of the two,
whichever that is, within 0.02 of nDCG@10. CACM is the case against: MiniLM is far behind BM25 there.

The other parts of the check are exact, and are tests: every row of the menu is a class that works or has a
documented reason, a perfect reranker gives 1.0 at every length of list, measures are those of pytrec_eval to
1e-6, and one that cannot be computed raises (``tests/search/rag/test_rankify.py``).

Reported: what reranking the first 20 of BM25 does, by the token vectors of MiniLM and by SmolLM2 in one pass
each, neither trained for it; and what SmolLM2 answers to questions of XQuAD with and without passages.
"""

from __future__ import annotations

from etude.engine.claim import Claim, Inequality, Study
from etude.search.rag import BasicRAG, InContextRALM, ZeroShot
from etude.search.rag.task import TASK as RAG
from etude.search.rag.task import Inputs as RagInputs
from etude.search.rerank import First, FirstStage, MaxSim
from etude.search.rerank.task import TASK as RERANK
from etude.search.rerank.task import Inputs as RerankInputs
from etude.search.retrieve import BM25, Dense, ReciprocalRankFusion, WeightedFusion
from etude.search.retrieve.task import TASK as RETRIEVE
from etude.search.retrieve.task import Inputs as RetrieveInputs

SINGLE = {"bm25": BM25(), "dense": Dense()}
FUSED = {"rrf": ReciprocalRankFusion()}


def fusion(data: str, **more: object) -> Study:
    """Single retrievers and fused ones on a collection."""
    arms = {**SINGLE, **FUSED, **more}
    return Study(
        name=f"fusion, {data}", task=RETRIEVE, inputs=RetrieveInputs(data=data), arms=arms, seeds=(0,)
    )


ADI = fusion("adi", weighted=WeightedFusion())
CACM = fusion("cacm")
XQUAD = fusion("xquad-en", weighted=WeightedFusion())
COLLECTIONS = (ADI, CACM, XQUAD)
RERANKED = Study(
    name="reranking, adi",
    task=RERANK,
    inputs=RerankInputs(data="adi", depth=20, queries=10),
    arms={
        "first stage": FirstStage(),
        "maxsim": MaxSim(),
        "smollm2, single token": First(model="smollm2", epochs=0, passage=60),
    },
    seeds=(0,),
)
ANSWERS = Study(
    name="answers, xquad",
    task=RAG,
    inputs=RagInputs(data="xquad", model="smollm2", questions=15, passages=2),
    arms={"zero-shot": ZeroShot(), "basic-rag": BasicRAG(), "in-context-ralm": InContextRALM()},
)

CLAIM = Claim(
    paper="rankify",
    statement="In one interface: fusing BM25 and MiniLM costs at most 0.02 of the better one's nDCG.",
    studies=(*COLLECTIONS, RERANKED, ANSWERS),
    must_hold=[
        Inequality("ndcg", "rrf", ">=", single, on=on, plus=-0.02) for on in COLLECTIONS for single in SINGLE
    ],
    reported=[
        *(Inequality("recall", "rrf", ">=", single, on=on) for on in COLLECTIONS for single in SINGLE),
        *(Inequality("ndcg", "weighted", ">=", "rrf", on=on) for on in (ADI, XQUAD)),
        *(
            Inequality("ndcg", arm, ">", "first stage", on=RERANKED)
            for arm in ("maxsim", "smollm2, single token")
        ),
        *(
            Inequality(metric, arm, ">", "zero-shot", on=ANSWERS)
            for arm in ("basic-rag", "in-context-ralm")
            for metric in ("contains", "f1")
        ),
    ],
)
