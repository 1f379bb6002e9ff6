"""Weights rounded by rows lose nothing at 8 bits, and at 4 bits less than under one scale for all.

The part of GLM-130B that is about quantisation: plain rounding by rows, symmetric, no data. That INT4 loses
almost nothing is a claim of scale, not expected of models of 3.5 and 135 million parameters; it is reported.
Nothing is drawn, so that the seeds agree.
"""

from __future__ import annotations

from typing import Any

from etude.compress.quantize import FullPrecision, Rtn
from etude.compress.quantize.task import TASK, Inputs
from etude.engine.claim import Claim, Inequality, Study

ROWS: dict[str, Any] = {"group": "channel", "symmetric": True, "convention": "awq"}


def study(name: str, inputs: Inputs, seeds: tuple[int, ...]) -> Study:
    """The paper's rows beside one scale for a tensor, and groups of 64."""
    arms: dict[str, Any] = {"dense": FullPrecision()}
    arms |= {f"INT{bits}": Rtn(bits=bits, **ROWS) for bits in (8, 4, 3)}
    arms |= {f"INT{bits}, tensor": Rtn(bits=bits, **ROWS | {"group": "tensor"}) for bits in (8, 4, 3)}
    arms |= {"INT4, groups": Rtn(bits=4, **ROWS | {"group": 64})}
    return Study(name=name, task=TASK, inputs=inputs, arms=arms, seeds=seeds)


NANO = study("nano-llama", Inputs(samples=1, segments=128), (0, 1, 2))
SMOL = study("smollm2", Inputs(model="smollm2", samples=1, segments=16), (0,))

CLAIM = Claim(
    paper="glm-130b",
    statement="Rounded by rows, INT8 weights lose less than 1 %, and INT4 less than under one scale.",
    studies=(NANO, SMOL),
    must_hold=[
        *(Inequality("perplexity", "INT8", "<", "dense", on=on, times=1.01) for on in (NANO, SMOL)),
        *(Inequality("perplexity", "INT4", "<=", "INT4, tensor", on=on) for on in (NANO, SMOL)),
    ],
    reported=[
        *(Inequality("perplexity", "INT4", "<", "dense", on=on, times=1.03, log=True) for on in (NANO, SMOL)),
        *(Inequality("perplexity", "INT4, groups", "<", "INT4", on=on, log=True) for on in (NANO, SMOL)),
        *(Inequality("perplexity", "INT3", "<=", "INT3, tensor", on=on, log=True) for on in (NANO, SMOL)),
    ],
)
