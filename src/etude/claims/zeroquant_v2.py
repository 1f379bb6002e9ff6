"""LoRC lowers the perplexity of rounded weights, more at fewer bits; ranks beyond 8 add little.

nano-llama's widths are 256 and 512, so that rank 8 is 3 % of the rank there is and the product takes 0.6 to
0.8 bits a weight: far more than in the paper. "groups, same bits" spends about as much on groups of 32.
Rounding to nearest draws nothing, so that its seeds agree; those of GPTQ draw their calibration.
"""

from __future__ import annotations

from typing import Any

from etude.compress.quantize import FullPrecision, Gptq, Lorc, Rtn, ZeroQuant
from etude.compress.quantize.task import TASK, Inputs
from etude.engine.claim import Claim, Inequality, Study

ROWS: dict[str, Any] = {"group": "channel"}
RANKS = (1, 4, 8, 16)


def study(bits: int, inputs: Inputs) -> Study:
    """Rounding and GPTQ at so many bits, by rows and in groups of 64, with products of growing rank."""
    arms: dict[str, Any] = {
        "dense": FullPrecision(),
        "rtn": Rtn(bits=bits, **ROWS),
        **{f"rtn, rank {rank}": Lorc(bits=bits, rank=rank, **ROWS) for rank in RANKS},
        "rtn, rank 8, INT8 factors": Lorc(bits=bits, factors="int8", **ROWS),
        "rtn, groups, same bits": Rtn(bits=bits, group=32),
        "rtn, groups": Rtn(bits=bits, group=64),
        "rtn, groups, rank 8": Lorc(bits=bits, group=64),
        "gptq": Gptq(bits=bits, **ROWS),
        "gptq, rank 8": Lorc(base="gptq", bits=bits, **ROWS),
        "gptq, groups": Gptq(bits=bits, group=64),
        "gptq, groups, rank 8": Lorc(base="gptq", bits=bits, group=64),
    }
    return Study(name=f"nano-llama, W{bits}", task=TASK, inputs=inputs, arms=arms)


def larger(bits: int) -> Study:
    """Rounding by rows on SmolLM2."""
    arms = {
        "dense": FullPrecision(),
        "rtn": Rtn(bits=bits, **ROWS),
        "rtn, rank 8": Lorc(bits=bits, **ROWS),
    }
    inputs = Inputs(model="smollm2", samples=1, segments=16)
    return Study(name=f"smollm2, W{bits}", task=TASK, inputs=inputs, arms=arms, seeds=(0,))


NANO = Inputs(samples=32, segments=64)
FOUR, THREE, TWO = (study(bits, NANO) for bits in (4, 3, 2))
LARGER = larger(3)
SENSITIVITY = Study(
    name="nano-llama, sensitivity",
    task=TASK,
    inputs=NANO,
    arms={
        "dense": FullPrecision(),
        "W8": ZeroQuant(bits=8, part="weights"),
        "W4": ZeroQuant(bits=4, part="weights"),
        "A8": ZeroQuant(part="activations"),
        "W8A8": ZeroQuant(bits=8),
        "W4A8": ZeroQuant(bits=4),
    },
)


def gain(on: Study) -> Inequality:
    """From rank 8 to 16 less is gained than from 0 to 8."""
    return Inequality("perplexity", "rtn, rank 16", ">", "rtn", on=on, above="rtn, rank 8", times=-1)


def factors(on: Study) -> Inequality:
    """8-bit factors lose less than 1 % of what they close."""
    return Inequality(
        "perplexity", "rtn, rank 8, INT8 factors", "<", "rtn", on=on, above="rtn, rank 8", times=0.01
    )


CLAIM = Claim(
    paper="zeroquant-v2",
    statement="At 3 and 2 bits by rows a product of rank 8 lowers the perplexity of rounded weights.",
    studies=(FOUR, THREE, TWO, LARGER, SENSITIVITY),
    must_hold=[
        *(Inequality("perplexity", "rtn, rank 8", "<", "rtn", on=on) for on in (THREE, TWO)),
        *(check(on) for on in (THREE, TWO) for check in (gain, factors)),
    ],
    refuted_if=[Inequality("perplexity", "rtn", "<=", "rtn, rank 8", on=on) for on in (THREE, TWO)],
    reported=[
        *(
            Inequality("perplexity", "rtn, rank 8", "<", "rtn", on=on, log=True)
            for on in (FOUR, THREE, TWO, LARGER)
        ),
        *(check(FOUR) for check in (gain, factors)),
        *(
            Inequality("perplexity", f"{base}, rank 8", "<", base, on=on, log=True)
            for on in (FOUR, THREE, TWO)
            for base in ("rtn, groups", "gptq", "gptq, groups")
        ),
        *(
            Inequality("perplexity", "rtn, rank 8", "<", "rtn, groups, same bits", on=on, log=True)
            for on in (FOUR, THREE, TWO)
        ),
        Inequality("perplexity", "W8", "<=", "dense", on=SENSITIVITY, plus=0.1),
        Inequality("perplexity", "W4", ">", "dense", on=SENSITIVITY, plus=0.5),
    ],
)
