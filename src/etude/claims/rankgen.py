"""RankGen's encoder tells what truly follows, and text that it chooses is nearer to people's.

nano-llama continues passages of authors that neither it nor the encoder has read. The encoder is nano-bert,
trained for a minute on 39 excerpts: half of its batches are of one document, half hold a continuation that
nano-llama wrote. Prefixes have at most 64 tokens and continuations 48, where the paper has 256 and 128;
batches have 24 pairs, not 1,536. All else is the paper's: 10 samples, 2 beams, chunks of 20 tokens, nucleus
of 0.9.

MAUVE is computed on vectors of all-MiniLM-L6-v2, not on GPT-2's, and over 64 texts, where thousands are
needed for a figure to mean much: it is compared between arms of one seed, whose prompts are the same.
"""

from __future__ import annotations

from typing import Any

from etude.engine.claim import Claim, Inequality, Study
from etude.search.generate import BestOfN, Greedy, Nucleus, RankGen, TopK, Typical
from etude.search.generate.task import TASK, Inputs

TRAINING: dict[str, Any] = {"prefix": 64, "suffix": 48, "steps": 60, "batch": 24}
NOVELS = Study(
    name="novels",
    task=TASK,
    inputs=Inputs(prompts=64, context=64, length=48),
    arms={
        "greedy": Greedy(),
        "nucleus": Nucleus(),
        "top-k": TopK(),
        "typical": Typical(),
        "best by likelihood": BestOfN(),
        "best by cosine": BestOfN(judge="cosine"),
        "rankgen, one sample": RankGen(samples=1, beams=1, chunk=None, **TRAINING),
        "rankgen, reranking": RankGen(beams=1, chunk=None, **TRAINING),
        "rankgen": RankGen(**TRAINING),
    },
)
JUDGES = ("best by likelihood", "best by cosine")

CLAIM = Claim(
    paper="rankgen",
    statement="RankGen tells what follows better than likelihood or cosine; its texts are nearer people's.",
    studies=(NOVELS,),
    must_hold=[
        *(Inequality("identified", "rankgen", ">", judge, on=NOVELS, over=2) for judge in JUDGES),
        Inequality("mauve", "rankgen", ">", "nucleus", on=NOVELS, over=2),
        Inequality("rep_3", "rankgen", "<", "greedy", on=NOVELS),
        Inequality("rep_3", "rankgen", "<=", "nucleus", on=NOVELS, over=2),
        Inequality("score", "rankgen", ">=", "rankgen, reranking", on=NOVELS),
        Inequality("score", "rankgen, reranking", ">=", "rankgen, one sample", on=NOVELS),
    ],
    refuted_if=[
        Inequality("mauve", "rankgen, reranking", "<=", "best by likelihood", on=NOVELS, over="mean"),
    ],
    reported=[
        *(
            Inequality("mauve", "rankgen", ">", other, on=NOVELS)
            for other in ("greedy", "top-k", "typical", *JUDGES, "rankgen, reranking")
        ),
        *(Inequality("mauve", "rankgen, reranking", ">", other, on=NOVELS) for other in ("nucleus", *JUDGES)),
    ],
)
