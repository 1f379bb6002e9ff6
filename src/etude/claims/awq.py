"""AWQ loses less perplexity at 3 bits than rounding, and activations tell which channels have to be kept.

nano-llama has no outlier channels of its own, so it is judged as it is and as nano-llama-outliers, in which
2 % of the features behind each norm are twenty times as large and the model computes the same. SmolLM2's
published file lies on a 4-bit grid of groups of 32: at 3 bits and groups of 64 no arm profits from that.
Some arms are calibrated on another text than that of the evaluation.
"""

from __future__ import annotations

from typing import Any

from etude.compress.quantize import Awq, FullPrecision, Gptq, Rtn, Salient
from etude.compress.quantize.task import TASK, Inputs
from etude.engine.claim import Arm, Claim, Inequality, Study

SEEDS = (0, 1, 2)
FORMAT: dict[str, Any] = {"bits": 3, "group": 64, "convention": "awq"}
OTHER = "wikitext2_valid_test"

NANO = Inputs(samples=64)
PLANTED = Inputs(model="nano-llama-outliers", samples=64)
SMOL = Inputs(model="smollm2", samples=16, segments=32)

SCALED: dict[str, Any] = {
    "full-precision": FullPrecision(),
    "rtn": Rtn(**FORMAT),
    "awq": Awq(**FORMAT),
    "awq, scales only": Awq(clip=False, **FORMAT),
}
KEPT = {f"1 % kept by {by}": Salient(by=by, **FORMAT) for by in ("activation", "weight", "random")}
MOVED = {
    "awq, other text": Arm(Awq(**FORMAT), calibrate=OTHER),
    "gptq": Gptq(**FORMAT),
    "gptq, other text": Arm(Gptq(**FORMAT), calibrate=OTHER),
}

PLAIN = Study(name="nano-llama", task=TASK, inputs=NANO, arms=SCALED | KEPT | MOVED, seeds=SEEDS)
OUTLIERS = Study(name="outliers", task=TASK, inputs=PLANTED, arms=SCALED | KEPT | MOVED, seeds=SEEDS)
LARGER = Study(name="smollm2", task=TASK, inputs=SMOL, arms=SCALED | KEPT, seeds=SEEDS)
STUDIES = (PLAIN, OUTLIERS, LARGER)


def recovered(on: Study) -> Inequality:
    """At most 0.8 of what rounding loses is lost, on the mean."""
    return Inequality("perplexity", "awq", "<=", "rtn", on=on, above="full-precision", times=0.8, over="mean")


def below(left: str, right: str, on: Study) -> Inequality:
    """Perplexity is lower in every seed."""
    return Inequality("perplexity", left, "<", right, on=on)


CLAIM = Claim(
    paper="awq",
    statement="At 3 bits AWQ loses less than rounding; large activations tell which channels to keep.",
    studies=STUDIES,
    must_hold=[
        *(below("full-precision", "awq", on) for on in (OUTLIERS, LARGER)),
        *(below(arm, "rtn", on) for on in (OUTLIERS, LARGER) for arm in ("awq", "awq, scales only")),
        *(recovered(on) for on in (OUTLIERS, LARGER)),
        *(below("1 % kept by activation", f"1 % kept by {by}", OUTLIERS) for by in ("weight", "random")),
    ],
    refuted_if=[
        *(Inequality("perplexity", "awq", ">=", "rtn", on=on, over=2) for on in (OUTLIERS, LARGER)),
        Inequality("perplexity", "1 % kept by activation", ">=", "1 % kept by weight", on=OUTLIERS, over=2),
    ],
    reported=[
        below("full-precision", "awq", PLAIN),
        below("awq", "rtn", PLAIN),
        recovered(PLAIN),
        *(below("1 % kept by activation", f"1 % kept by {by}", LARGER) for by in ("weight", "random")),
        *(below("awq", "gptq", on) for on in (PLAIN, OUTLIERS)),
        *(
            Inequality("perplexity", f"{name}, other text", "<", name, on=on, log=True, over="mean")
            for on in (PLAIN, OUTLIERS)
            for name in ("awq", "gptq")
        ),
    ],
)
