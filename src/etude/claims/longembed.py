"""Windows can be stretched without training: what truncation loses behind the window is found again.

all-MiniLM-L6-v2 has 512 learned positions and is asked for pass keys in documents of 512, 1,024 and 2,048 of
its tokens; "found beyond" is the mean over the last two. The rotary encoder has 2 million numbers, reads 64
tokens, and is trained under each seed on pass keys of other people; it is stretched to 512. There are 8 (20)
documents and questions of each length where the paper has 100 and 50. Positions are tuned on neighbouring
passages of novels for 200 steps of 4 pairs where the paper has three epochs of batches of 512.
"""

from __future__ import annotations

from etude.engine.claim import AnyOf, Claim, Inequality, Study
from etude.search.long import (
    NTK,
    GroupedPositions,
    ParallelWindows,
    PositionInterpolation,
    PositionTuning,
    RecurrentPositions,
    SelfExtend,
    Truncation,
)
from etude.search.long.task import TASK, Inputs

FREE = {
    "parallel windows": ParallelWindows(),
    "grouped": GroupedPositions(),
    "recurrent": RecurrentPositions(),
    "interpolated": PositionInterpolation(),
}
LEARNED = Study(
    name="learned positions",
    task=TASK,
    inputs=Inputs(target=2048, lengths=(512, 1024, 2048), documents=8, queries=8),
    arms={
        "truncation": Truncation(),
        **FREE,
        "tuned": PositionTuning(steps=200, batch=4, negatives=1, words=32),
    },
)
ROTARY = Study(
    name="rotary positions",
    task=TASK,
    inputs=Inputs(model="rotary", target=512, lengths=(64, 128, 256, 512), documents=20, queries=20),
    arms={"truncation": Truncation(), **FREE, "ntk": NTK(), "self-extend": SelfExtend()},
)

CLAIM = Claim(
    paper="longembed",
    statement="Stretched windows find what truncation loses; on rotary positions SelfExtend and NTK do best.",
    studies=(LEARNED, ROTARY),
    must_hold=[
        Inequality("at_2048", "truncation", "<=", 0.45, on=LEARNED, over=2),
        AnyOf(
            *(Inequality("beyond", arm, ">=", "truncation", on=LEARNED, plus=0.15, over=2) for arm in FREE)
        ),
        *(Inequality("drift", arm, "<=", 1e-5, on=LEARNED) for arm in (*FREE, "tuned")),
        Inequality("beyond", "tuned", ">=", "interpolated", on=LEARNED, over=2),
        *(
            Inequality("beyond", arm, ">", other, on=ROTARY, over=2)
            for arm in ("self-extend", "ntk")
            for other in ("interpolated", "grouped")
        ),
        Inequality("beyond", "self-extend", ">=", "truncation", on=ROTARY, plus=0.15, over=2),
    ],
    refuted_if=[
        *(Inequality("drift", arm, ">", 1e-5, on=LEARNED, over=2) for arm in (*FREE, "tuned")),
    ],
    reported=[
        *(Inequality("beyond", arm, ">=", "truncation", on=LEARNED, plus=0.15) for arm in (*FREE, "tuned")),
        *(Inequality("drift", arm, "<=", 1e-5, on=ROTARY) for arm in ("grouped", "recurrent", "self-extend")),
        Inequality("beyond", "self-extend", ">", "ntk", on=ROTARY),
        Inequality("beyond", "self-extend", ">", "parallel windows", on=ROTARY),
    ],
)
