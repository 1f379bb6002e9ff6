"""One token ranks a window as well as a written ranking does, in less time, and best after training for it.

Time is that of SmolLM2-135M-Instruct as it is, on windows of 20 passages of NPL, cut to 25 tokens: four
questions for each of three seeds, the same prompts for both.

Quality is that of a decoder of 0.13 million parameters (larger ones take hours here) on a made-up
collection (`etude.search.rerank.topics`): words belong to topics, and the share of a passage's words that are
of the query's topic is its grade. It knows how to list from other queries, and learns from 750 more by each
of the three losses: windows of 8 of BM25's 12 candidates. All else is the paper's, but for the learning rate
(1e-3 for so small a model) and batches of 16.
"""

from __future__ import annotations

from typing import Any

from etude.engine.claim import Claim, Inequality, Study
from etude.search.rerank import First, FirstStage, MonoT5
from etude.search.rerank.task import TASK, Inputs

TIME = Study(
    name="time",
    task=TASK,
    inputs=Inputs(data="npl", depth=20, train=0.5, queries=4),
    arms={
        "one token": First(passage=25, epochs=0),
        "generated": First(passage=25, epochs=0, answer="generated"),
    },
)
SMALL: dict[str, Any] = {
    "model": "topics",
    "style": "terse",
    "window": 8,
    "stride": 4,
    "rate": 1e-3,
    "batch": 16,
}
QUALITY = Study(
    name="quality",
    task=TASK,
    inputs=Inputs(data="topics-12", depth=12, train=0.25, queries=300),
    arms={
        "first-stage": FirstStage(),
        "both": First(**SMALL),
        "both, generated": First(**SMALL, answer="generated"),
        "language": First(**SMALL, objective="generation"),
        "ranking": First(**SMALL, objective="ranking"),
        "untrained": First(**SMALL | {"epochs": 0}),
        "pointwise": MonoT5(model="topics", epochs=3, batch=16),
    },
)

CLAIM = Claim(
    paper="first",
    statement="One token's logits rank a window as well as writing it down, in at most 0.79 of the time.",
    studies=(TIME, QUALITY),
    must_hold=[
        Inequality("ms", "one token", "<=", "generated", times=0.79, on=TIME),
        Inequality("ndcg", "both", ">=", "both, generated", plus=-0.01, on=QUALITY, over="mean"),
        Inequality("ndcg", "both", ">", "language", on=QUALITY, over="mean"),
        Inequality("ndcg", "both", ">", "first-stage", on=QUALITY),
    ],
    refuted_if=[
        Inequality("ms", "one token", ">", "generated", times=0.79, on=TIME),
        Inequality("ndcg", "both", "<", "both, generated", plus=-0.01, on=QUALITY, over="mean"),
    ],
    reported=[
        Inequality("ndcg", "both", ">", other, on=QUALITY) for other in ("ranking", "untrained", "pointwise")
    ],
)
