"""All candidates in one answer cost less than sliding windows, and are learnt from complete, weighted labels.

Cost is that of SmolLM2-135M-Instruct as it is, on 20 passages of NPL, cut to 25 tokens: one question for
each of three seeds, all at once beside windows of 4 that move by 2.

Quality is that of a decoder of 0.13 million parameters (larger ones take hours here) on a made-up
collection (`etude.search.rerank.topics`), 12 candidates a query. The teacher ranks windows of 6 by grade, and
swaps neighbours with probability 0.1. It knows how to list from other queries, and learns from 750 more:
labels of a single pass, complete ones, and these with weights by rank; and, as RankMistral_20 beside
RankMistral_100, windows of 6. All else is the paper's, but for the learning rate (1e-3 for so small a
model) and batches of 16.
"""

from __future__ import annotations

from typing import Any

from etude.engine.claim import Arm, Claim, Inequality, Study
from etude.search.rerank import First, FirstStage, FullRanking, RankGPT
from etude.search.rerank.task import TASK, Inputs

COST = Study(
    name="cost",
    task=TASK,
    inputs=Inputs(data="npl", depth=20, train=0.5, queries=1),
    arms={
        "full": FullRanking(passage=25, epochs=0),
        "windows": RankGPT(passage=25, window=4, stride=2, epochs=0),
    },
)
SMALL: dict[str, Any] = {"model": "topics", "style": "terse", "rate": 1e-3, "batch": 16}
TEACHER: dict[str, Any] = {"teacher_window": 6, "teacher_stride": 3, "swaps": 0.1}
QUALITY = Study(
    name="quality",
    task=TASK,
    inputs=Inputs(data="topics-12", depth=12, train=0.25, queries=300),
    arms={
        "first-stage": FirstStage(),
        "single pass": FullRanking(**SMALL, **TEACHER, passes="single-pass", weighted=False),
        "complete": FullRanking(**SMALL, **TEACHER, weighted=False),
        "weighted": FullRanking(**SMALL, **TEACHER),
        "weighted, shuffled": Arm(FullRanking(**SMALL, **TEACHER), shuffled=True),
        "windows": RankGPT(**SMALL, window=6, stride=3, epochs=4),
        "untrained": FullRanking(**SMALL | {"epochs": 0}),
        "untrained, windows": RankGPT(**SMALL | {"epochs": 0}, window=6, stride=3),
        "one token": First(**SMALL | {"epochs": 0}, window=12, stride=6),
    },
)

CLAIM = Claim(
    paper="fullrank",
    statement="Full ranking costs less than sliding windows; complete labels, weighted by rank, teach best.",
    studies=(COST, QUALITY),
    must_hold=[
        Inequality("read", "full", "<=", "windows", times=0.6, on=COST),
        Inequality("ms", "full", "<", "windows", on=COST),
        Inequality("ndcg", "complete", ">=", "single pass", on=QUALITY, over="mean"),
        Inequality("ndcg5", "weighted", ">=", "complete", on=QUALITY, over="mean"),
        Inequality("ndcg", "weighted", ">=", "windows", plus=-0.01, on=QUALITY, over="mean"),
        Inequality("read", "weighted", "<", "windows", on=QUALITY),
    ],
    refuted_if=[
        Inequality("ndcg5", "weighted", "<", "complete", on=QUALITY, over="mean"),
    ],
    reported=[
        Inequality("generated", "full", "<", "windows", on=COST),
        Inequality("ndcg", "untrained", "<", "untrained, windows", on=QUALITY),
        Inequality("ndcg", "weighted, shuffled", ">=", "weighted", plus=-0.01, on=QUALITY),
        *(Inequality("ndcg", "weighted", ">", other, on=QUALITY) for other in ("first-stage", "one token")),
    ],
)
