"""Pairs that documents hold by their structure teach a retriever; masked tokens do not.

On Python's documentation: 18,409 passages of 495 pages with 5,816 links between them. 1,580 headings ask for
the passages below them; each stands only once, and none is a title or a sentence of a passage. The towers
share one layer of 64 numbers, and are pre-trained for 600 batches of 128 pairs, at 2e-3, where the paper has
BERT-base and 100,000 of 8,192; after 100 batches they find next to nothing. "mlm" reads as many passages.
With labels, a hundredth of the headings fine-tunes; the others are asked.
"""

from __future__ import annotations

from typing import Any

from etude.engine.claim import Claim, Inequality, Study
from etude.search.retrieve import BM25, TwoTower
from etude.search.retrieve.task import TASK, Inputs

TRAINING: dict[str, Any] = {
    "pages": "python-docs",
    "hidden": 64,
    "layers": 1,
    "shared": True,
    "passage_length": 64,
    "steps": 600,
    "batch": 128,
    "part": 128,
    "rate": 2e-3,
}
SINGLE = ("ict", "bfs", "wlp")


def towers(*tasks: Any, **changes: Any) -> TwoTower:
    """Pre-trained on some tasks."""
    return TwoTower(tasks=tasks, **{**TRAINING, **changes})


UNLABELLED = Study(
    name="no labels",
    task=TASK,
    inputs=Inputs(data="python-docs"),
    arms={
        "none": towers(),
        "mlm": towers("mlm"),
        **{task: towers(task) for task in SINGLE},
        "all three": towers(*SINGLE),
        "bag of words": towers(*SINGLE, body="bag of words"),
        "bm25": BM25(),
    },
)
FEW_LABELS = Study(
    name="a hundredth of the labels",
    task=TASK,
    inputs=Inputs(data="python-docs", train=0.01),
    arms={"mlm": towers("mlm"), "all three": towers(*SINGLE)},
)
FOUND = "recall_10"

CLAIM = Claim(
    paper="retrieval-pretraining",
    statement="Structure teaches retrieval without labels, and masked tokens do not; with few labels too.",
    studies=(UNLABELLED, FEW_LABELS),
    must_hold=[
        *(Inequality(FOUND, task, ">", other, on=UNLABELLED) for task in SINGLE for other in ("none", "mlm")),
        Inequality(FOUND, "ict", ">=", "bfs", on=UNLABELLED, over=2),
        Inequality(FOUND, "ict", ">=", "wlp", on=UNLABELLED, over=2),
        Inequality(FOUND, "all three", ">=", "ict", on=UNLABELLED, times=0.95, over=2),
        Inequality(FOUND, "all three", ">", "mlm", on=FEW_LABELS, times=3),
    ],
    refuted_if=[Inequality(FOUND, "mlm", ">=", "ict", on=UNLABELLED, over=2)],
    reported=[
        *(Inequality("recall", task, ">", "mlm", on=UNLABELLED) for task in (*SINGLE, "all three")),
        Inequality("recall", "all three", ">=", "ict", on=UNLABELLED),
        Inequality("recall", "all three", ">", "mlm", on=FEW_LABELS, times=3),
        Inequality(FOUND, "all three", ">", "bag of words", on=UNLABELLED),
        Inequality(FOUND, "all three", ">", "bm25", on=UNLABELLED),
        Inequality("recall", "all three", ">", "bm25", on=UNLABELLED),
    ],
)
