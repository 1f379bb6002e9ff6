"""ReAGent finds what decides the next token better than attention does, and more faithfully than chance.

Two models answer where the truth is known: a tiny one that has learnt to recall the value behind a key, so
that one token of the prompt decides, and SmolLM2 on sentences in which one word decides. nano-llama goes on
with novels, where nothing is planted, and has no say.

Scores of every method are made to sum to 1; the authors' code sends those of attention and gradients through
a softmax first, which makes them nearly uniform. Soft comprehensiveness is set against random scores of the
same prompts under the same noise.
"""

from __future__ import annotations

from etude.engine.claim import Claim, Inequality, Study
from etude.explain.attribution import (
    AttentionLast,
    AttentionRollout,
    InputXGradient,
    IntegratedGradients,
    Lime,
    Occlusion,
    RandomScores,
    ReAGent,
)
from etude.explain.attribution.task import TASK, Inputs

COMMON = {
    "random": RandomScores(),
    "attention, last": AttentionLast(),
    "attention, rollout": AttentionRollout(),
    "input x gradient": InputXGradient(),
    "integrated gradients": IntegratedGradients(points=32),
}
OTHERS = {"occlusion": Occlusion(), "lime": Lime(samples=200)}


def reagent(steps: int, proposal: str) -> ReAGent:
    """ReAGent as the check at small scale sets it."""
    return ReAGent(ratio=0.3, top_n=5, top_k=3, steps=steps, probes=4, proposal=proposal)  # type: ignore[arg-type]


RECALL = Study(
    name="recall",
    task=TASK,
    inputs=Inputs(model="recall", data="recall", prompts=24, draws=32),
    arms={**COMMON, **OTHERS, "reagent": reagent(200, "uniform")},
)
CUES = Study(
    name="smollm2, planted cues",
    task=TASK,
    inputs=Inputs(model="smollm2", data="cues", prompts=12, draws=6),
    arms={**COMMON, "reagent": reagent(30, "shape")},
    seeds=(0,),
)
NOVELS = Study(
    name="nano-llama, novels",
    task=TASK,
    inputs=Inputs(prompts=24, draws=32),
    arms={
        **COMMON,
        **OTHERS,
        "reagent": reagent(200, "shape"),
        "reagent, own proposals": reagent(200, "self"),
        "reagent, proposals of nano-bert": reagent(200, "masked"),
        "reagent, 25 steps": reagent(25, "shape"),
    },
)
ATTENTIONS = ("attention, last", "attention, rollout")

CLAIM = Claim(
    paper="reagent",
    statement="ReAGent ranks what decides higher than attention does, and is more faithful than it.",
    studies=(RECALL, CUES, NOVELS),
    must_hold=[
        *(
            Inequality("cue_rank", "reagent", "<", other, on=on)
            for on in (RECALL, CUES)
            for other in (*ATTENTIONS, "random")
        ),
        *(Inequality("log_nc", "reagent", ">", 0.0, on=on) for on in (RECALL, CUES)),
        *(
            Inequality("soft_nc", "reagent", ">", other, on=on)
            for on in (RECALL, CUES)
            for other in ATTENTIONS
        ),
    ],
    refuted_if=[
        Inequality("gain_low", "reagent", "<=", 0.0, on=on, over=(len(on.seeds) + 1) // 2)
        for on in (RECALL, CUES)
    ],
    reported=[
        *(
            Inequality(metric, "reagent", ">", other, on=on)
            for on in (RECALL, CUES, NOVELS)
            for other in ("integrated gradients", "input x gradient")
            for metric in ("soft_nc", "soft_ns", "peaked_nc")
        ),
        *(Inequality("soft_nc", "reagent", ">", other, on=NOVELS) for other in (*ATTENTIONS, "random")),
    ],
)
