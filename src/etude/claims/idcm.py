"""Four windows that a small model chooses rank as all of them do, in a quarter of the time.

Long documents are put together from paragraphs of XQuAD (`etude.data.long_documents`): 36 windows on average,
the answer in one or two of them, anywhere. The cross-encoder is mini-bert, trained here on 119 questions, and
whole documents of these teach the second and the third step. What is set beside IDCM differs in who
chooses the windows, and reads them with the same cross-encoder.

What it saves depends on how much dearer the cross-encoder is than the small model. mini-bert is tiny, so
time is judged with MiniLM (6 layers of 384 features; the paper has DistilBERT's 6 of 768), and with untrained
parts, which take as long as trained ones.
"""

from __future__ import annotations

from dataclasses import replace

from etude.engine.claim import Claim, Inequality, Study
from etude.search.rerank import IDCM
from etude.search.rerank.task import TASK, Inputs

TRAINED = IDCM(
    passage_epochs=6,
    document_epochs=1,
    selector_epochs=5,
    negatives=1,
    batch=8,
    rate=3e-4,
    weight_rate=1e-2,
    selector_rate=5e-3,
    patience=0,
)
UNTRAINED = IDCM(
    model="minilm",
    passage_epochs=0,
    document_epochs=0,
    selector_epochs=0,
    negatives=1,
    patience=0,
)

QUALITY = Study(
    name="quality",
    task=TASK,
    inputs=Inputs(data="xquad-long", depth=8, train=0.1, queries=16),
    arms={
        "full": replace(TRAINED, select="all"),
        "best passage": replace(TRAINED, select="all", aggregation="max"),
        "idcm": TRAINED,
        "mse": replace(TRAINED, loss="mse"),
        "cross-entropy": replace(TRAINED, loss="cross-entropy"),
        "esm alone": replace(TRAINED, score="esm"),
        "first": replace(TRAINED, select="first"),
        "random": replace(TRAINED, select="random"),
        "bm25": replace(TRAINED, select="bm25"),
    },
)
TIME = Study(
    name="time",
    task=TASK,
    inputs=Inputs(data="xquad-long", depth=8, train=0.01, queries=2),
    arms={"full": replace(UNTRAINED, select="all"), "idcm": UNTRAINED},
)

CLAIM = Claim(
    paper="idcm",
    statement="Four chosen windows rank within 2 % of all windows, in a quarter of the time.",
    studies=(QUALITY, TIME),
    must_hold=[
        Inequality("ndcg", "idcm", ">=", "full", times=0.98, on=QUALITY, over=2),
        Inequality("ndcg", "idcm", ">", "first", on=QUALITY, over=2),
        Inequality("ndcg", "idcm", ">", "random", on=QUALITY, over=2),
        Inequality("ndcg", "esm alone", "<", "idcm", on=QUALITY, over=2),
        Inequality("ms", "idcm", "<=", "full", times=0.25, on=TIME, over=2),
        Inequality("spread", "idcm", "<", "full", on=TIME, over=2),
    ],
    refuted_if=[
        Inequality("ndcg", "idcm", "<", "full", times=0.98, on=QUALITY, over=2),
        Inequality("ms", "idcm", ">", "full", times=0.25, on=TIME, over=2),
    ],
    reported=[
        Inequality("ndcg", "idcm", ">=", "bm25", on=QUALITY, over=2),
        Inequality("ndcg", "full", ">=", "best passage", on=QUALITY, over=2),
        *(
            Inequality("recall", "idcm", ">=", other, on=QUALITY, over=2)
            for other in ("mse", "cross-entropy", "bm25")
        ),
        *(Inequality("ndcg", "idcm", ">=", other, on=QUALITY, over=2) for other in ("mse", "cross-entropy")),
        Inequality("ms", "idcm", "<=", "full", times=0.25, on=QUALITY, over=2),
        Inequality("spread", "idcm", "<", "full", on=QUALITY, over=2),
    ],
)
