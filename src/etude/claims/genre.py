"""Names are found by generating them within a tree, those that were never learnt too, and the tree is small.

The names are drawn, three words each of 15, and called by other words in the texts (a crimson port gallery
for Red Harbour Museum); a fifth of them has no mention to learn from. The model is a T5 of a million weights
that has read nothing before, where the paper tunes BART-large on nine million mentions of Wikipedia. All that
learn do so for 300 steps. Besides these, WordNet's definitions are reported, whose headwords are the names:
real text, for which the model is too small.
"""

from __future__ import annotations

from etude.engine.claim import Claim, Inequality, Study
from etude.search.link import GenreLink, NameClasses, NameTowers, NameVectors, NameWords
from etude.search.link.task import TASK, Inputs

NAMES = 2000
PLACES = Study(
    name="places",
    task=TASK,
    inputs=Inputs(data="places", names=NAMES, tested=200),
    arms={
        "genre": GenreLink(steps=300),
        "words": NameWords(),
        "minilm": NameVectors(),
        "two towers": NameTowers(steps=300),
        "classes": NameClasses(steps=300),
    },
)
DEFINITIONS = Study(
    name="wordnet",
    task=TASK,
    inputs=Inputs(data="wordnet", names=3000, tested=200),
    arms={"genre": GenreLink(steps=300), "words": NameWords(), "minilm": NameVectors()},
    seeds=(0,),
)

CLAIM = Claim(
    paper="genre",
    statement="Within a small tree generation finds names, learnt or new, and never what is no name.",
    studies=(PLACES, DEFINITIONS),
    must_hold=[
        Inequality("valid", "genre", ">=", 1.0, on=PLACES),
        Inequality("valid_free", "genre", "<", 1.0, on=PLACES),
        Inequality("lift", "genre", ">=", 0.0, on=PLACES),
        Inequality("name_bytes", "genre", "<", "minilm", on=PLACES, times=0.1),
        Inequality("accuracy_new", "genre", ">", 10 / NAMES, on=PLACES),
        Inequality("accuracy_new", "classes", "<=", 0.0, on=PLACES),
        Inequality("candidates_lift", "genre", ">=", 0.0, on=PLACES),
    ],
    refuted_if=[
        Inequality("accuracy_new", "genre", "<=", 1 / NAMES, on=PLACES, over=2),
        Inequality("lift", "genre", "<", 0.0, on=PLACES, over=2),
    ],
    reported=[
        *(
            Inequality(metric, "genre", ">", other, on=PLACES)
            for metric in ("accuracy_known", "accuracy_new")
            for other in ("words", "minilm", "two towers")
        ),
        Inequality("accuracy_known", "genre", ">", "classes", on=PLACES),
        *(
            Inequality("accuracy_known", "genre", ">", other, on=DEFINITIONS, over=1)
            for other in ("words", "minilm")
        ),
    ],
)
