"""XQuAD as collections: the same paragraphs and questions in twelve languages, and in made ones.

Half of the articles are to train on, the others to be searched, so that what is asked of one language was
not seen in another: ``xquad-de`` is the German of the latter, ``xquad-train-de`` that of the former.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from etude.data.documents import Collection, Document
from etude.data.rows import rows
from etude.data.scripts import SCRIPTS, written
from etude.data.sets import find_folder, missing

LANGUAGES = ("ar", "de", "el", "en", "es", "hi", "ro", "ru", "th", "tr", "vi", "zh")
NAMES = {
    f"xquad-{part}{language}": f"{what} of XQuAD in {language}, some 600 questions on 120 paragraphs"
    for part, what in (("", "the half to be searched"), ("train-", "the half to train on"))
    for language in (*LANGUAGES, *SCRIPTS)
}
"""Collections by name; those of a script hold English in other letters (`etude.data.scripts`)."""

_HOME = "https://github.com/google-deepmind/xquad"


def load(name: str) -> Collection:
    """One of `NAMES`; every question has one relevant paragraph.

    Raises
    ------
    InputError : if the set is not on this machine, saying where to get it.
    """
    language = name.rpartition("-")[2]
    folder = find_folder("xquad")
    if folder is None:
        raise missing("xquad", f"{language}.jsonl.gz", _HOME)
    script = language if language in SCRIPTS else "latin"
    path = folder / ("en.jsonl.gz" if script != "latin" else f"{language}.jsonl.gz")
    return _read(path, script, name.startswith("xquad-train-"))


@lru_cache(maxsize=8)
def _read(path: Path, script: str, train: bool) -> Collection:
    found = [row for _, row in rows(path)]
    titles = list(dict.fromkeys(row["title"] for row in found))
    half = set(titles[: len(titles) // 2] if train else titles[len(titles) // 2 :])
    kept = [row for row in found if row["title"] in half]
    paragraphs = list(dict.fromkeys(row["context"] for row in kept))
    numbers = {paragraph: str(place) for place, paragraph in enumerate(paragraphs)}
    return Collection(
        tuple(Document(numbers[each], written(each, script)) for each in paragraphs),
        {row["id"]: written(row["question"], script) for row in kept},
        {row["id"]: {numbers[row["context"]]: 1} for row in kept},
    )
