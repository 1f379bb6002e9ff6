"""Real long documents with questions: what is here in the place of LongEmbed's own.

==============  ============================================================  =============================
name            documents and questions                                       in the place of
==============  ============================================================  =============================
``novels``      beginnings of excerpts of novels; a later passage of each     NarrativeQA
``keyphrases``  whole papers (SemEval 2010); their key phrases                SummScreenFD
``xquad``       paragraphs of an encyclopaedia, joined; questions on one      QMSum
``routes``      descriptions of which city leads to which (LongProc); a       2WikiMultihopQA
                question of how to get from one to another
==============  ============================================================  =============================

The first is built in, the others are named sets in ``$ETUDE_DATA`` or the cache.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from typing import Any

from etude.data.sets import find_folder, missing
from etude.search.long.haystacks import Haystack

PASSAGE = 300
"""Characters of a passage that is asked with."""
JOINED = 12
"""Paragraphs of a document that is joined of them."""


def novels(documents: int, queries: int, seed: int) -> Haystack:
    """The first two thirds of excerpts; a passage of the last third asks for its novel."""
    from etude import data

    draw = random.Random(seed)
    texts = [*data.load("novels", "evaluation"), *data.load("novels", "calibration")]
    chosen = draw.sample(texts, min(documents, len(texts)))
    cuts = [2 * len(text) // 3 for text in chosen]
    begins = [draw.randrange(cut, len(text) - PASSAGE) for cut, text in zip(cuts, chosen, strict=True)]
    asked = [text[at : at + PASSAGE] for at, text in zip(begins, chosen, strict=True)]
    return _paired([text[:cut] for cut, text in zip(cuts, chosen, strict=True)], asked, queries)


def keyphrases(documents: int, queries: int, seed: int) -> Haystack:
    """Papers, asked for by their key phrases."""
    rows = _rows("keyphrases", "semeval2010.jsonl.gz", "https://github.com/LIAAD/KeywordExtractor-Datasets")
    chosen = random.Random(seed).sample(rows, min(documents, len(rows)))
    return _paired([row["text"] for row in chosen], [", ".join(row["keyphrases"]) for row in chosen], queries)


def routes(documents: int, queries: int, seed: int) -> Haystack:
    """Networks of cities, asked for by two cities that lie far apart in one."""
    rows = _rows("longproc", "path_traversal_0.5k.jsonl.gz", "https://github.com/princeton-pli/LongProc")
    chosen = random.Random(seed).sample(rows, min(documents, len(rows)))
    return _paired([row["context_nl"] for row in chosen], [row["question_nl"] for row in chosen], queries)


def xquad(documents: int, queries: int, seed: int) -> Haystack:
    """Paragraphs of several articles joined in a drawn order; each document has one question."""
    rows = _rows("xquad", "en.jsonl.gz", "https://github.com/google-deepmind/xquad")
    draw = random.Random(seed)
    asked = {row["context"]: row["question"] for row in rows}
    paragraphs = draw.sample(list(asked), len(asked))
    texts = [paragraphs[at : at + JOINED] for at in range(0, len(paragraphs), JOINED)][:documents]
    return _paired(
        ["\n\n".join(parts) for parts in texts], [asked[draw.choice(parts)] for parts in texts], queries
    )


SETS: dict[str, Callable[[int, int, int], Haystack]] = {
    "novels": novels,
    "keyphrases": keyphrases,
    "xquad": xquad,
    "routes": routes,
}
"""By name: documents and queries at most, and a seed, to a haystack."""


def _paired(documents: list[str], questions: list[str], queries: int) -> Haystack:
    asked = questions[:queries]
    return Haystack(tuple(documents), tuple(asked), tuple(range(len(asked))), (0,) * len(documents))


def _rows(name: str, file: str, home: str) -> list[dict[str, Any]]:
    folder = find_folder(name)
    if folder is None or not (folder / file).is_file():
        raise missing(name, file, home)
    with gzip.open(folder / file, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]
