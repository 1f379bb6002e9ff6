"""An adapter of the text's own language carries over what was learnt in another; a wrong one does not.

The languages are made: English in four scripts that share no letter (`etude.data.scripts`), one of them with
the words of each sentence from last to first, so that questions and paragraphs are parallel. The backbone
(1.2 million parameters) has read 1,200 batches of masked WikiText-2 and half of XQuAD, the fourth script
after all else, with nothing trained but its adapter and the embeddings of its tokens. ColBERT is fine-tuned
on the 632 questions of that half in Latin script, 120 batches of 8, where the paper has 50,000 of 128, and
searches the paragraphs of the other half: 558 questions, 120 paragraphs. "wrong" searches with the Latin
adapter; in "shared" three scripts share one adapter from the beginning. A ranking at random has an MRR of
0.045.
"""

from __future__ import annotations

from typing import Any

from etude.engine.claim import Claim, Inequality, Study
from etude.search.retrieve import BM25, ColBERTXM
from etude.search.retrieve.task import TASK, Inputs

CHANCE = 0.045
TRAINING: dict[str, Any] = {"steps": 120, "batch": 8, "document_length": 96}
ADDED = "georgian"
SCRIPTS = ("latin", "cyrillic", "armenian", ADDED)


def modular(language: str, **changes: Any) -> ColBERTXM:
    """Fine-tuned in Latin script, with the adapter of a script in search."""
    settings = {**TRAINING, "backbone": "scripts-xmod", **changes}
    return ColBERTXM(source_language="latin", language=language, **settings)


def study(script: str) -> Study:
    """All arms on one script."""
    shared = script if script == ADDED else "latin"
    others = {"wrong": modular("latin")} if script != "latin" else {}
    return Study(
        name=script,
        task=TASK,
        inputs=Inputs(data="xquad-en" if script == "latin" else f"xquad-{script}"),
        arms={
            "right": modular(script),
            **others,
            "shared": modular(shared, backbone="scripts-shared"),
            "single": modular(script, vectors="first"),
            **({"untuned": modular(script, steps=0)} if script in SCRIPTS[:2] else {}),
            "bm25": BM25(),
        },
    )


STUDIES = tuple(map(study, SCRIPTS))
LATIN, CYRILLIC, ARMENIAN, GEORGIAN = STUDIES
NEVER_TUNED = (CYRILLIC, ARMENIAN)

CLAIM = Claim(
    paper="colbert-xm",
    statement="Tuned in one language, it searches others by their adapters, one that was added later too.",
    studies=STUDIES,
    must_hold=[
        *(Inequality("mrr", "right", ">", "wrong", on=on) for on in NEVER_TUNED),
        *(Inequality("mrr", "right", ">", "shared", on=on, plus=-0.02, over=2) for on in NEVER_TUNED),
        Inequality("mrr", "right", ">=", "shared", on=LATIN, times=0.98, over=2),
        Inequality("mrr", "right", ">", CHANCE, on=GEORGIAN, times=3),
        *(Inequality("mrr", "right", ">", "single", on=on) for on in STUDIES),
    ],
    refuted_if=[Inequality("mrr", "right", "<=", "wrong", on=on, over=2) for on in NEVER_TUNED],
    reported=[
        Inequality("mrr", "right", ">", "wrong", on=GEORGIAN),
        Inequality("mrr", "right", ">=", "shared", on=GEORGIAN),
        *(Inequality("mrr", "right", ">", "untuned", on=on) for on in STUDIES[:2]),
        *(Inequality("mrr", "right", ">", "bm25", on=on) for on in STUDIES),
        *(Inequality("recall", "right", ">=", "wrong", on=on) for on in STUDIES[1:]),
    ],
)
