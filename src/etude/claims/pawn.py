"""PAWN tells machines' texts from people's better than the mean of the same features and zero-shot scores do.

All methods see the same readings of nano-llama, a weak reader (``--model smollm2`` takes a stronger one):
pairs of a person's text and one that a machine went on with from its first words, both cut to the same length
of at most 60 words, so that length tells nothing, and with single spaces for line breaks, which only
machines' texts have. There are some 140 texts to train on where the paper has 300,000, so that its 5 epochs
of batches of 128 would be 10 steps. Heads train for 10 epochs of batches of 8, some 180 steps; all else is
the paper's.

News and stories train, and questions and abstracts (four domains of the data of Fast-DetectGPT) test what
transfers; then GPT-2, GPT-Neo and OPT train, and GPT-3, 3.5 and 4 test. In the last study nano-llama has
written what it reads, novels, which makes the task easy.
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

TRAINING: dict[str, Any] = {"epochs": 10, "batch": 8}
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
PAIRS = Inputs(data=("ai_text_detection",), texts=80, words=60, length=128, error=0.1)


def study(name: str, **changes: Any) -> Study:
    """All arms on the texts of `PAIRS`, or others."""
    return Study(name=name, task=TASK, inputs=replace(PAIRS, **changes), arms=ARMS)


DOMAINS = study("other domains", train=("xsum", "writing"), attack="masked")
MACHINES = study("other machines", shift="generator", train=("gpt2-xl", "opt-2.7b", "gpt-neo-2.7B"))
ITSELF = study("what it wrote itself", data=("novels",))
STUDIES = (DOMAINS, MACHINES, ITSELF)

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
        *(Inequality("drop", "pawn", "<", other, on=MACHINES) for other in ("hidden", "mean")),
        Inequality("auroc_attacked", "pawn", ">=", "mean", on=DOMAINS),
        *(
            Inequality("auroc", "pawn", ">=", other, on=on)
            for on in STUDIES
            for other in ("mean", "hidden", "sigmoid", "fast-detectgpt", "gltr")
        ),
        *(
            Inequality("auroc_other", "pawn", ">=", other, on=on)
            for on in (DOMAINS, MACHINES)
            for other in ("mean", "hidden", "fast-detectgpt", "binoculars")
        ),
    ],
)
