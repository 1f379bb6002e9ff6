"""GBLM-Pruner's masks lose less perplexity than Wanda's, from the same calibration text.

The paper's margin is 1 to 2 % of perplexity at half the weights, with an alpha tuned on LLaMA, 128 segments
of 2048 tokens. Here segments are 128 tokens and fewer, so the same alpha gives the gradient another weight:
two arms keep it, two set the terms even ("balanced"). The claim is of the best of these fixed settings, which
favours GBLM a little; each is shown on its own.

"Far below magnitude" is read as at most 0.8 times its perplexity. On nano-llama that fails, for Wanda too:
no feature that enters a layer is more than 8 times as large as the median one, so there is little that
magnitude overlooks. SmolLM2 has features 1,600 times the median, and magnitude ruins it.
"""

from __future__ import annotations

from typing import Any

from etude.compress.prune import GBLM, Magnitude, SparseGPT, Wanda
from etude.compress.prune.task import TASK, Inputs
from etude.engine.claim import AllOf, AnyOf, Claim, Inequality, Study

SEEDS = (0, 1, 2)
SETTINGS: dict[str, dict[str, Any]] = {
    "gblm l1": {"norm": "l1"},
    "gblm l2": {"norm": "l2"},
    "gblm l1, balanced": {"norm": "l1", "alpha": "balance"},
    "gblm l2, balanced": {"norm": "l2", "alpha": "balance"},
}


def study(name: str, inputs: Inputs, **budget: Any) -> Study:
    """All arms at one budget, a sparsity or a pattern; inputs are measured as the authors do."""
    arms = {
        "magnitude": Magnitude(**budget),
        "wanda": Wanda(feed="block", **budget),
        "sparsegpt": SparseGPT(feed="block", **budget),
        "gradient l1": GBLM(score="gradient", norm="l1", **budget),
        "gradient l2": GBLM(score="gradient", norm="l2", **budget),
        **{label: GBLM(feed="block", **setting, **budget) for label, setting in SETTINGS.items()},
    }
    return Study(name=name, task=TASK, inputs=inputs, arms=arms, seeds=SEEDS)


NANO, SMOL = Inputs(samples=32), Inputs(model="smollm2", samples=16, segments=32)

HALF = study("nano-llama, 50 %", NANO, sparsity=0.5)
MOST = study("nano-llama, 60 %", NANO, sparsity=0.6)
TWO_OF_FOUR = study("nano-llama, 2:4", NANO, pattern="2:4")
LARGER = study("smollm2, 60 %", SMOL, sparsity=0.6)


def beats_wanda(on: Study, setting: str) -> Inequality:
    """On the mean of the seeds."""
    return Inequality("perplexity", setting, "<=", "wanda", on=on, log=True, over="mean")


def far_below_magnitude(on: Study) -> list[AnyOf | Inequality]:
    """At most 0.8 times its perplexity: GBLM in its best setting, and Wanda."""
    return [
        AnyOf(*(Inequality("perplexity", label, "<=", "magnitude", on=on, times=0.8) for label in SETTINGS)),
        Inequality("perplexity", "wanda", "<=", "magnitude", on=on, times=0.8),
    ]


CLAIM = Claim(
    paper="gblm",
    statement="With a gradient term in its score, Wanda loses less perplexity at 60 % sparsity.",
    studies=(HALF, MOST, TWO_OF_FOUR, LARGER),
    must_hold=[
        condition
        for on in (MOST, LARGER)
        for condition in (AnyOf(*(beats_wanda(on, label) for label in SETTINGS)), *far_below_magnitude(on))
    ],
    refuted_if=[AllOf(*(Inequality("perplexity", "wanda", "<=", label, on=MOST) for label in SETTINGS))],
    reported=[
        *(beats_wanda(on, label) for on in (HALF, MOST, TWO_OF_FOUR, LARGER) for label in SETTINGS),
        *(
            Inequality("perplexity", "sparsegpt", "<", label, on=TWO_OF_FOUR, log=True, over="mean")
            for label in ("wanda", "gblm l1", "gblm l1, balanced")
        ),
    ],
)
