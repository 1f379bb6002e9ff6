"""PAWN tells machines' texts from people's better than the mean of the same features and zero-shot scores do.

All methods see the same readings of SmolLM2: pairs of a person's text and one that a machine went on with
from its first words, both cut to the same length of at most 60 words, so that length tells nothing. Heads
train with the paper's settings but for batches of 16 texts instead of 128, since there are some 140 texts to
train on where the paper has 300,000. (In 12 epochs instead of 5 they know those by heart, and others less.)

In the first studies news and stories (two domains of the data of Fast-DetectGPT) train, and what transfer is
tested on is of other domains, or of other machines: GPT-3, 3.5 and 4 instead of GPT-2, GPT-Neo and OPT. Then
nano-llama goes on with novels, and in the last study also reads them, which makes the task easy.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from etude.engine.claim import Claim, Inequality, Study
from etude.explain.detection import (
    GLTR,
    LRR,
    Binoculars,
    Entropy,
    FastDetectGPT,
    LogLikelihood,
    LogRank,
    Pawn,
)
from etude.explain.detection.task import TASK, Inputs

TRAINING: dict[str, Any] = {"batch": 16}
ZERO_SHOT = {
    "log-likelihood": LogLikelihood(),
    "log-rank": LogRank(),
    "lrr": LRR(),
    "entropy": Entropy(),
    "fast-detectgpt": FastDetectGPT(),
    "binoculars": Binoculars(),
}
ARMS = {
    **ZERO_SHOT,
    "gltr": GLTR(),
    "mean": Pawn(variant="mean", **TRAINING),
    "hidden": Pawn(variant="hidden", **TRAINING),
    "sigmoid": Pawn(variant="sigmoid", **TRAINING),
    "pawn": Pawn(**TRAINING),
}
PAIRS = Inputs(model="smollm2", data=("ai_text_detection",), texts=80, words=60, length=96, error=0.1)


def study(name: str, **changes: Any) -> Study:
    """All arms on the texts of `PAIRS`, or others."""
    return Study(name=name, task=TASK, inputs=replace(PAIRS, **changes), arms=ARMS)


DOMAINS = study("other domains", train=("xsum", "writing"), attack="typos")
NANO = study(
    "other domains, read by nano-llama",
    train=("xsum", "writing"),
    model="nano-llama",
    length=128,
    attack="masked",
)
MACHINES = study("other machines", shift="generator", train=("gpt2-xl", "opt-2.7b", "gpt-neo-2.7B"))
NOVELS = study("nano-llama's novels", data=("novels",))
ITSELF = study("nano-llama's novels, read by itself", data=("novels",), model="nano-llama", length=128)
STUDIES = (DOMAINS, NANO, MACHINES, NOVELS, ITSELF)

CLAIM = Claim(
    paper="pawn",
    statement="Learned weights beat a uniform mean and zero-shot scores; they transfer better than states.",
    studies=STUDIES,
    must_hold=[
        Inequality("auroc", "pawn", ">=", "mean", on=DOMAINS, over=2),
        *(Inequality("auroc", "pawn", ">=", other, on=DOMAINS, over=2) for other in ZERO_SHOT),
        Inequality("drop", "pawn", "<", "hidden", on=DOMAINS, over=2),
    ],
    refuted_if=[
        Inequality("auroc", "pawn", "<=", "mean", on=DOMAINS, over="mean"),
        Inequality("drop", "pawn", ">", "hidden", on=DOMAINS, over=2),
    ],
    reported=[
        *(
            Inequality("auroc", "pawn", ">=", other, on=on)
            for on in STUDIES
            for other in ("mean", "hidden", "sigmoid", "fast-detectgpt", "gltr")
        ),
        *(
            Inequality("auroc_other", "pawn", ">=", other, on=on)
            for on in (DOMAINS, NANO, MACHINES)
            for other in ("mean", "hidden", "fast-detectgpt", "binoculars")
        ),
    ],
)
