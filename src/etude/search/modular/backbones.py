"""The recipes of small backbones, made when they are first asked for and kept in the cache.

``nano-xmod`` reads English, German, Romanian and, added afterwards, Spanish; ``scripts-xmod`` reads English
in four scripts that share no letter (`etude.data.scripts`), the last of them added afterwards. In
``scripts-shared`` the three first share one adapter: the same encoder, not modular. What they are trained on
holds no paragraph that ``xquad-<language>`` searches. ``tiny-xmod`` has learnt next to nothing, for examples
and tests.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from etude.data import sources, xquad
from etude.data.rows import rows
from etude.data.scripts import written
from etude.data.sets import find_folder, missing
from etude.errors import InputError, unknown
from etude.files import cache_folder
from etude.search.modular import vocabulary
from etude.search.modular.encoder import Modular, blank, extended, save
from etude.search.modular.pretraining import Schedule, pretrain, teach
from etude.seeds import seeded

_TATOEBA = {"de": "deu", "es": "spa", "ro": "ron"}
_MLQE = {
    "en": ("en-de", "original", "https://github.com/facebookresearch/mlqe"),
    "de": ("en-de", "translation", "https://github.com/facebookresearch/mlqe"),
    "ro": ("ro-en", "original", "https://github.com/facebookresearch/mlqe"),
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a backbone is made.

    Parameters
    ----------
    languages : with an adapter each, unless they share one.
    added : a language that is added when all else is trained, with a vocabulary of its own.
    texts : of a language.
    tokens : in the vocabulary.
    schedule : of the pre-training; the added language gets a third as many steps.
    width : of its states.
    shared : whether the languages share one adapter, that of the first.
    seed : of all draws.
    version : to be raised when the code that follows the recipe makes another backbone of it.
    """

    languages: tuple[str, ...]
    added: str
    texts: Callable[[str], list[str]]
    tokens: int
    schedule: Schedule
    width: int = 128
    shared: bool = False
    seed: int = 0
    version: int = 1

    @property
    def read(self) -> tuple[str, ...]:
        """The languages that the backbone has adapters of in the end."""
        return (*(self.languages[:1] if self.shared else self.languages), self.added)


def make(recipe: Recipe) -> Modular:
    """Train a backbone as its recipe says."""
    texts = {language: recipe.texts(language) for language in (*recipe.languages, recipe.added)}
    with seeded(recipe.seed), torch.enable_grad():
        before = {language: texts[language] for language in recipe.languages}
        tokenizer = vocabulary.train((text for every in before.values() for text in every), recipe.tokens)
        if recipe.shared:
            before = {recipe.languages[0]: [text for every in before.values() for text in every]}
        encoder = blank(tokenizer, list(before), width=recipe.width, inner=2 * recipe.width)
        pretrain(encoder, before, recipe.schedule)
        size, first = recipe.tokens // len(recipe.languages), len(tokenizer)
        own = vocabulary.extension(tokenizer, texts[recipe.added], size, first)
        encoder = extended(encoder, recipe.added, own)
        third = Schedule(**{**asdict(recipe.schedule), "steps": max(1, recipe.schedule.steps // 3)})
        teach(encoder, recipe.added, texts[recipe.added], third)
    return encoder


def locate(name_or_path: str) -> Path:
    """The folder of a backbone, made first if it is a named one that was not made yet.

    Raises
    ------
    InputError : naming ``backbone`` if there is none of that name; ``data`` if what it is trained on is not
        here.
    """
    if name_or_path in BACKBONES:
        recipe = BACKBONES[name_or_path]
        folder = cache_folder("backbones", f"{name_or_path}-{_digest(recipe)}")
        if not folder.exists():
            save(make(recipe), folder)
        return folder
    folder = Path(name_or_path).expanduser()
    if folder.is_dir():
        return folder
    if "/" in name_or_path or name_or_path.startswith((".", "~")):
        raise InputError("backbone", f"there is no folder {name_or_path}")
    raise unknown("backbone", name_or_path, BACKBONES)


def _digest(recipe: Recipe) -> str:
    """What determines a backbone: its recipe and its texts."""
    facts = {name: value for name, value in asdict(recipe).items() if name != "texts"}
    total = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for language in (*recipe.languages, recipe.added):
        total.update("\n".join(recipe.texts(language)).encode())
    return total.hexdigest()[:16]


def of_language(language: str) -> list[str]:
    """Sentences of Wikipedia and Tatoeba, and the paragraphs of XQuAD's first half."""
    texts = [document.text for document in xquad.load(f"xquad-train-{language}").documents]
    if language in _MLQE:
        pair, column, home = _MLQE[language]
        for part in ("train", "valid", "test"):
            texts += [row[column] for row in _table("mlqe", f"{pair}.{part}.tsv.gz", home)]
    if language in _TATOEBA:
        found = _table("tatoeba_pairs", "pairs.tsv.gz", "https://github.com/facebookresearch/LASER")
        texts += [row["sentence"] for row in found if row["lang"] == _TATOEBA[language]]
    return texts + _declaration(language)


def _declaration(language: str) -> list[str]:
    """Of human rights, in the language."""
    folder = find_folder("udhr_multilingual")
    if folder is None:
        raise missing("udhr_multilingual", "udhr.jsonl.gz", "https://github.com/nltk/nltk_data")
    wanted = {**_TATOEBA, "en": "eng"}[language]
    return [row["text"] for _, row in rows(folder / "udhr.jsonl.gz") if row["lang"] == wanted]


def _table(name: str, file: str, home: str) -> list[Mapping[str, str]]:
    """Rows of a table of tab-separated values, in which quotes are letters like others."""
    folder = find_folder(name)
    if folder is None:
        raise missing(name, file, home)
    with gzip.open(folder / file, "rt", encoding="utf-8") as lines:
        heading, *body = (line.rstrip("\n").split("\t") for line in lines)
    return [dict(zip(heading, row, strict=True)) for row in body]


def in_script(script: str) -> list[str]:
    """WikiText-2's valid and test part and the paragraphs of XQuAD's first half, in a script."""
    texts: Sequence[Any] = [
        paragraph
        for split in ("calibration", "evaluation")
        for document in sources.load("wikitext2_valid_test", split)
        for paragraph in document.split("\n")
        if paragraph.strip()
    ]
    texts = [*texts, *(document.text for document in xquad.load("xquad-train-en").documents)]
    return [written(text, script) for text in texts]


_DECLARATION = {
    "en": "All human beings are born free and equal in dignity and rights.",
    "de": "Alle Menschen sind frei und gleich an Würde und Rechten geboren.",
    "es": "Todos los seres humanos nacen libres e iguales en dignidad y derechos.",
}
"""The first sentence of the Universal Declaration of Human Rights."""

_SCRIPTS = Recipe(
    languages=("latin", "cyrillic", "armenian"),
    added="georgian",
    texts=in_script,
    tokens=6000,
    schedule=Schedule(steps=1200),
)
BACKBONES = {
    "nano-xmod": Recipe(
        languages=("en", "de", "ro"),
        added="es",
        texts=of_language,
        tokens=8000,
        schedule=Schedule(steps=1200),
    ),
    "tiny-xmod": Recipe(
        languages=("en", "de"),
        added="es",
        texts=lambda language: [_DECLARATION[language]],
        tokens=200,
        schedule=Schedule(steps=3, batch=2, length=16),
        width=16,
    ),
    "scripts-xmod": _SCRIPTS,
    "scripts-shared": Recipe(**{**vars(_SCRIPTS), "shared": True}),
}
"""Named backbones and their recipes."""
