"""FP8 inputs lose less than INT8 where there are outliers; constrained scales cost little; LoRC helps.

nano-llama has no outlier features. In nano-llama-outliers 2 % of the features behind each norm are twenty
times as large and the weights that read them as much smaller, so that the model computes the same: there the
claim is decided. The plain model and SmolLM2 (one calibration) are reported.

Groups are of 64 weights, where the paper has 256 of rows of thousands. SmolLM2's file lies on a 4-bit grid of
groups of 32 already, which favours integers in it.
"""

from __future__ import annotations

from typing import Any

from etude.compress.quantize import FullPrecision, ZeroQuant, ZeroQuantFP
from etude.compress.quantize.task import TASK, Inputs
from etude.engine.claim import Claim, Inequality, Study

SEEDS = (0, 1, 2)
INT: dict[str, Any] = {"activations": "int"}
FP: dict[str, Any] = {"activations": "e4m3"}


def mixture(**settings: Any) -> ZeroQuantFP:
    """4-bit weights by GPTQ in groups of 64, without compensation unless asked for."""
    return ZeroQuantFP(**({"group": 64, "rank": 0} | settings))


def study(name: str, inputs: Inputs, seeds: tuple[int, ...] = SEEDS) -> Study:
    """The paper's mixtures, named after weights and inputs, beside 8 bits for both and for inputs alone."""
    arms = {
        "dense": FullPrecision(),
        "A8 INT": ZeroQuant(part="activations", **INT),
        "A8 FP": ZeroQuant(part="activations", **FP),
        "W8A8 INT": ZeroQuant(bits=8, **INT),
        "W8A8 FP": ZeroQuant(bits=8, numbers="e4m3", **FP),
        "W4A8 INT-INT": mixture(numbers="int", **INT),
        "W4A8 INT-FP": mixture(numbers="int", **FP),
        "W4A8 FP-INT": mixture(**INT),
        "W4A8 FP-FP": mixture(),
        "W4A8 FP-FP, E3M0": mixture(numbers="e3m0"),
        "W4A8 FP-FP, M1": mixture(constraint="m1"),
        "W4A8 FP-FP, M2": mixture(constraint="m2"),
        "W4A8 FP-FP, M2 floor": mixture(constraint="m2", ratio="floor"),
        "W4A8 FP-FP, LoRC": mixture(rank=8),
        "W4A8 FP-FP, M2, LoRC": mixture(constraint="m2", rank=8),
    }
    return Study(name=name, task=TASK, inputs=inputs, arms=arms, seeds=seeds)


def without(plain: Study, *labels: str) -> Study:
    """A study with fewer arms."""
    arms = {label: arm for label, arm in plain.arms.items() if label not in labels}
    return Study(name=plain.name, task=TASK, inputs=plain.inputs, arms=arms, seeds=plain.seeds)


OUTLIERS = study("nano-llama-outliers", Inputs(model="nano-llama-outliers", samples=32, segments=64))
PLAIN = study("nano-llama", Inputs(samples=32, segments=64))
LARGER = without(
    study("smollm2", Inputs(model="smollm2", samples=8, segments=16), seeds=(0,)),
    "W4A8 FP-INT",
    "W4A8 FP-FP, E3M0",
    "W4A8 FP-FP, M1",
    "W4A8 FP-FP, M2 floor",
    "W4A8 FP-FP, M2, LoRC",
)


def inputs(on: Study, weights: str, relation: Any = "<=") -> Inequality:
    """FP8 inputs against INT8 ones, under the same weights."""
    kinds = {"": ("A8 FP", "A8 INT"), "8": ("W8A8 FP", "W8A8 INT"), "FP": ("W4A8 FP-FP", "W4A8 FP-INT")}
    one, other = kinds[weights]
    return Inequality("perplexity", one, relation, other, on=on)


CLAIM = Claim(
    paper="zeroquant-fp",
    statement="Where inputs have outliers FP8 loses less than INT8, and FP4 weights can have scales for FP8.",
    studies=(OUTLIERS, PLAIN, LARGER),
    must_hold=[
        inputs(OUTLIERS, ""),
        inputs(OUTLIERS, "FP"),
        Inequality(
            "perplexity",
            "W4A8 FP-FP, M2",
            "<=",
            "W4A8 FP-FP",
            on=OUTLIERS,
            above="dense",
            times=1.25,
            over="mean",
        ),
        Inequality("perplexity", "W4A8 FP-FP, LoRC", "<", "W4A8 FP-FP", on=OUTLIERS),
    ],
    refuted_if=[Inequality("perplexity", "A8 INT", "<", "A8 FP", on=OUTLIERS)],
    reported=[
        *(inputs(on, weights) for on in (OUTLIERS, PLAIN) for weights in ("8",)),
        *(inputs(on, weights) for on in (PLAIN, LARGER) for weights in ("",)),
        *(
            Inequality("perplexity", "W4A8 FP-FP", "<=", "W4A8 INT-FP", on=on, log=True)
            for on in (OUTLIERS, PLAIN, LARGER)
        ),
        *(
            Inequality("perplexity", "W4A8 FP-FP, M2", "<=", "W4A8 FP-FP, M1", on=on, log=True, over="mean")
            for on in (OUTLIERS, PLAIN)
        ),
        *(
            Inequality("perplexity", "W4A8 FP-FP", "<=", "W4A8 FP-FP, E3M0", on=on, log=True, over="mean")
            for on in (OUTLIERS, PLAIN)
        ),
        Inequality(
            "perplexity",
            "W4A8 FP-FP, M2",
            "<=",
            "W4A8 FP-FP",
            on=PLAIN,
            above="dense",
            times=1.25,
            over="mean",
        ),
        *(Inequality("perplexity", "W4A8 FP-FP, LoRC", "<", "W4A8 FP-FP", on=on) for on in (PLAIN, LARGER)),
    ],
)
