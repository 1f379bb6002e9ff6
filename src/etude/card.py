"""A paper's card: facts in a TOML file, read and checked here."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from etude.errors import InputError, unknown

AREAS: dict[str, tuple[str, ...]] = {
    "compress": ("prune", "quantize", "factorize"),
    "adapt": ("tune", "objectives", "distributed", "merge", "transfer"),
    "pretrain": ("architectures", "objectives", "recipes"),
    "curate": ("select",),
    "search": ("retrieve", "rerank", "rag", "recommend", "generate", "long"),
    "extract": ("terms", "entities", "sentiment", "relations", "sql"),
    "explain": ("attribution", "detection"),
    "estimate": ("ordinal", "quantile", "health"),
    "graph": ("embed",),
    "diffuse": ("samplers", "distillation", "text"),
    "evaluate": ("benchmarks", "metrics"),
}
"""The areas of the catalogue and the tasks in each."""

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+([.-][a-z0-9]+)*$")]
Url = Annotated[str, StringConstraints(pattern=r"^(https?://\S+)?$")]


class Part(BaseModel):
    """One part of a paper, and whether Etude has it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Text
    implemented: bool


class Card(BaseModel):
    """What is known about one paper.

    Parameters
    ----------
    slug : the file's name; what users type.
    name : short name, as the paper calls its method.
    title : full title.
    arxiv : arXiv identifier without version, as 2306.11695.
    year, month : of the first version on arXiv.
    venue : where it was published, or "arXiv".
    area, task : where it stands in the catalogue.
    also : further places, each as "area/task".
    code : the authors' repository, or "".
    licence : of that repository, or "".
    keywords : words that one would search for.
    summary : what it does and for whom, in our words.
    claim : what the paper reports.
    check : the inequality that a claim checks at small scale.
    methods : names of the methods that implement it; empty while none does.
    aliases : names that its users know, each with the name of our method that does the same.
    upstream : errors and oddities found in the authors' code.
    parts : what the paper consists of, and which of it is implemented.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    slug: Slug
    name: Text
    title: Text
    arxiv: Annotated[str, StringConstraints(pattern=r"^\d{4}\.\d{4,5}$")]
    year: Annotated[int, Field(ge=1950, le=2100)]
    month: Annotated[int, Field(ge=1, le=12)]
    venue: Text
    area: Text
    task: Text
    also: tuple[Text, ...] = ()
    code: Url = ""
    licence: str = ""
    keywords: tuple[Text, ...]
    summary: Text
    claim: Text
    check: Text
    methods: tuple[Text, ...] = ()
    aliases: dict[Text, Text] = {}
    upstream: tuple[Text, ...] = ()
    parts: tuple[Part, ...] = ()

    @property
    def implemented(self) -> bool:
        """Whether there is a method to run."""
        return bool(self.methods)


def read(path: Path, *, own: bool = True) -> Card:
    """Read and check one card.

    Parameters
    ----------
    path : a ``<slug>.toml``.
    own : whether the card is Etude's own; a plug-in's may stand under a task that the plug-in brings.

    Raises
    ------
    InputError : naming the file, the field and what is wrong with it.
    """
    try:
        facts = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(path.name, f"cannot be read as TOML: {error}") from error
    try:
        card = Card.model_validate(facts)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise InputError(path.name, f"{field}: {first['msg'][0].lower()}{first['msg'][1:]}") from error
    _check_place(path, card, own)
    return card


def _check_place(path: Path, card: Card, own: bool) -> None:
    if card.slug != path.stem:
        raise InputError(path.name, f"slug: {card.slug!r} is not the name of the file; make them the same")
    places = [("area", card.area, card.task), *(("also", *place.partition("/")[::2]) for place in card.also)]
    for field, area, task in places:
        if area not in AREAS:
            raise InputError(path.name, str(unknown(field, area, AREAS)))
        if own and task not in AREAS[area]:
            raise InputError(path.name, str(unknown("task" if field == "area" else field, task, AREAS[area])))
