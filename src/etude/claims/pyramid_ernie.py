"""Each part of Pyramid-ERNIE earns its place: the summary, the pyramid, calibrated clicks, the anchors.

Documents of 20 to 40 real sentences hold none to four sentences that a query of eight words is about, behind
the first eight (`etude.data.graded_documents`): grades are known by construction. No person clicked: clicks
are simulated, with a bias to upper places and noise, from the grades of 74 queries, of which a third have
known grades. The encoder is mini-cross, four layers of 128 features.

Summaries, clicks and anchors are judged under full attention, so that each is judged alone; the pyramid is
judged against full attention in a study of its own, with three and with two of the four layers apart.
"""

from __future__ import annotations

from dataclasses import replace

from etude.engine.claim import Claim, Inequality, Study
from etude.search.rerank import PyramidERNIE
from etude.search.rerank.task import TASK, Inputs

INPUTS = Inputs(data="xquad-graded", depth=12, train=0.3, queries=30)
WHOLE = PyramidERNIE(
    model="mini-cross",
    joint="full",
    sentences=4,
    length=100,
    labelled=0.34,
    epochs=3,
    batch=4,
    listed=5,
    rate=3e-4,
)

PARTS = Study(
    name="parts",
    task=TASK,
    inputs=INPUTS,
    arms={
        "all": WHOLE,
        "title only": replace(WHOLE, summary="none"),
        "first sentences": replace(WHOLE, summary="first"),
        "random sentences": replace(WHOLE, summary="random"),
        "no decay": replace(WHOLE, decay=1.0),
        "raw clicks": replace(WHOLE, pretrain="clicks"),
        "no clicks": replace(WHOLE, pretrain="none"),
        "pairs alone": replace(WHOLE, anchor=0.0),
    },
)
PYRAMID = Study(
    name="pyramid",
    task=TASK,
    inputs=INPUTS,
    arms={
        "full": WHOLE,
        "3 of 4 apart": replace(WHOLE, joint="pyramid", apart=0.75),
        "2 of 4 apart": replace(WHOLE, joint="pyramid", apart=0.5),
        "towers": replace(WHOLE, joint="towers"),
    },
)

CLAIM = Claim(
    paper="pyramid-ernie",
    statement="The summary, the pyramid, calibrated clicks and the anchors each do what they are for.",
    studies=(PARTS, PYRAMID),
    must_hold=[
        *(
            Inequality(metric, "all", ">", other, on=PARTS, over=2)
            for other in ("title only", "first sentences", "random sentences")
            for metric in ("pairs", "ndcg")
        ),
        Inequality("pairs", "3 of 4 apart", ">=", "full", times=0.97, on=PYRAMID, over=2),
        Inequality("ms", "3 of 4 apart", "<", "full", on=PYRAMID, over=2),
        Inequality("pairs", "3 of 4 apart", ">", "towers", on=PYRAMID, over=2),
        Inequality("pairs", "all", ">", "raw clicks", on=PARTS, over=2),
        Inequality("pairs", "raw clicks", ">", "no clicks", on=PARTS, over=2),
        Inequality("pairs", "all", ">=", "pairs alone", times=0.99, on=PARTS, over=2),
        Inequality("off_anchor", "all", "<=", "pairs alone", times=0.5, on=PARTS, over=2),
    ],
    refuted_if=[
        *(
            Inequality("pairs", "all", "<=", other, on=PARTS, over=2)
            for other in ("title only", "first sentences", "random sentences")
        ),
        Inequality("pairs", "all", "<", "pairs alone", times=0.99, on=PARTS, over=2),
        Inequality("off_anchor", "all", ">", "pairs alone", times=0.5, on=PARTS, over=2),
    ],
    reported=[
        Inequality("pairs", "all", ">=", "no decay", on=PARTS, over=2),
        Inequality("ndcg", "all", ">=", "no decay", on=PARTS, over=2),
        Inequality("pairs", "2 of 4 apart", ">=", "full", times=0.97, on=PYRAMID, over=2),
        Inequality("ms", "2 of 4 apart", "<", "full", on=PYRAMID, over=2),
    ],
)
