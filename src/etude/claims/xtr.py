"""Trained to retrieve tokens, an encoder finds documents by few of them; gathering is saved.

MiniLM's token states, which stand still, get a projection to 128 numbers. It begins with the principal
directions of the corpus's states, and is trained for 100 steps of 32 pairs, a query with a relevant document
and one that BM25 finds and that is not: by XTR's objective and by ColBERT's, from the same pairs in the same
order. Half of a collection's judged queries train, drawn anew for each seed, and the other half judges.
Search is exact: a query token retrieves 10, 50, 200, 1,000 or all tokens of the corpus. In training it
retrieves 32 of some 7,000 tokens in a batch; the paper's 320 come from batches about ten times as large.

A replication of 2026 finds no gain in quality over ColBERT when all tokens are seen; that is reported only.
"""

from __future__ import annotations

from typing import Any

from etude.engine.claim import Claim, Inequality, Study
from etude.search.late import ColBERTLoss, UntrainedTokens, XTRLoss
from etude.search.late.task import TASK, Inputs

STEPS: dict[str, Any] = {"steps": 100}
ARMS = {
    "untrained": UntrainedTokens(),
    "colbert": ColBERTLoss(**STEPS),
    "xtr": XTRLoss(tokens=32, **STEPS),
}


CRANFIELD = Study(name="cranfield", task=TASK, inputs=Inputs(data="cranfield"), arms=ARMS)

CLAIM = Claim(
    paper="xtr",
    statement="Trained to retrieve tokens, few of them find the documents, at a tenth of the scoring.",
    studies=(CRANFIELD,),
    must_hold=[
        Inequality("ndcg_10", "xtr", ">", "colbert", on=CRANFIELD, over="mean"),
        Inequality("lost_10", "xtr", "<", "colbert", on=CRANFIELD, over="mean"),
        Inequality("kept_200", "xtr", ">=", 0.97, on=CRANFIELD, over="mean"),
        Inequality("relevant_10", "xtr", ">", "colbert", on=CRANFIELD),
        Inequality("flops_ratio", "xtr", ">=", 10.0, on=CRANFIELD),
        Inequality("time_ratio", "xtr", ">=", 10.0, on=CRANFIELD),
    ],
    refuted_if=[Inequality("ndcg_10", "xtr", "<=", "colbert", on=CRANFIELD, over="mean")],
    reported=[
        Inequality("ndcg_50", "xtr", ">", "colbert", on=CRANFIELD, over="mean"),
        Inequality("relevant_200", "xtr", ">", "colbert", on=CRANFIELD),
        Inequality("ndcg_all", "xtr", ">=", "colbert", on=CRANFIELD, over="mean"),
        Inequality("ndcg_all", "xtr", ">", "untrained", on=CRANFIELD, over="mean"),
        Inequality("spread", "xtr", "<", "colbert", on=CRANFIELD),
    ],
)
