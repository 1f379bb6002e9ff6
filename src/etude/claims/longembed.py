"""Windows can be stretched without training: what truncation loses behind the window is found again.

all-MiniLM-L6-v2 has 512 learned positions and is asked for pass keys in documents of 512, 1,024 and 2,048 of
its tokens; "found beyond" is the mean over the last two. There are 8 documents and questions of each length,
and 40 for the rotary encoder, where the paper has 100 and 50. Positions are tuned on neighbouring passages of
novels for 200 steps of 4 pairs where the paper has three epochs of batches of 512.

The rotary encoder has 2 million numbers, reads 64 tokens, and is trained under each seed; it is stretched to
512. It finds pass keys by the words of a name alone, so that positions cannot matter: in a first look all
ways of stretching them found the same 58 of 60. Which of them keeps what it has learnt of order is therefore
asked by who gave a key to whom, where every second document says the reverse in the same words; pass keys are
reported.
"""

from __future__ import annotations

from dataclasses import replace

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
TURNED = {"truncation": Truncation(), **FREE, "ntk": NTK(), "self-extend": SelfExtend()}
SMALL = Inputs(
    model="rotary", data="handover", target=512, lengths=(64, 128, 256, 512), documents=40, queries=40
)
ROTARY = Study(name="rotary positions", task=TASK, inputs=SMALL, arms=TURNED)
KEYS = Study(
    name="rotary positions, pass keys", task=TASK, inputs=replace(SMALL, data="passkey"), arms=TURNED
)

CLAIM = Claim(
    paper="longembed",
    statement="Stretched windows find what truncation loses; on rotary positions SelfExtend and NTK do best.",
    studies=(LEARNED, ROTARY, KEYS),
    must_hold=[
        Inequality("at_2048", "truncation", "<=", 0.45, on=LEARNED, over=2),
        AnyOf(
            *(Inequality("beyond", arm, ">=", "truncation", on=LEARNED, plus=0.15, over=2) for arm in FREE)
        ),
        *(Inequality("drift", arm, "<=", 1e-5, on=LEARNED) for arm in (*FREE, "tuned")),
        Inequality("beyond", "tuned", ">=", "interpolated", on=LEARNED, over=2),
        *(
            Inequality("beyond", arm, ">", other, on=ROTARY, over="mean")
            for arm in ("self-extend", "ntk")
            for other in ("interpolated", "grouped")
        ),
        *(
            Inequality("beyond", "self-extend", ">=", "truncation", on=on, plus=0.15, over=2)
            for on in (ROTARY, KEYS)
        ),
    ],
    refuted_if=[
        *(Inequality("drift", arm, ">", 1e-5, on=LEARNED, over=2) for arm in (*FREE, "tuned")),
    ],
    reported=[
        *(Inequality("beyond", arm, ">=", "truncation", on=LEARNED, plus=0.15) for arm in (*FREE, "tuned")),
        *(Inequality("drift", arm, "<=", 1e-5, on=ROTARY) for arm in ("grouped", "recurrent", "self-extend")),
        *(
            Inequality("beyond", arm, ">", other, on=KEYS, over="mean")
            for arm in ("self-extend", "ntk")
            for other in ("interpolated", "grouped")
        ),
        Inequality("beyond", "self-extend", ">", "ntk", on=ROTARY),
        Inequality("beyond", "self-extend", ">", "parallel windows", on=ROTARY),
    ],
)
