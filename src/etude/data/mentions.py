"""Texts with one marked mention each, and the names that they may mean: named sets, and tables.

A table (CSV, TSV, JSON lines or Parquet) has a row for each mention: ``text``, with the mention between
``[START_ENT]`` and ``[END_ENT]`` if it is marked, and ``name``.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from etude.data.rows import lines, rows
from etude.data.sets import find_folder, missing
from etude.errors import InputError, unknown

START, END = "[START_ENT]", "[END_ENT]"
SETS = {
    "places": "drawn: names of three words, such as Red Harbour Museum, called by other words",
    "wordnet": "WordNet: definitions, whose headword is the name",
}
"""Named sets."""

_WORDS = (
    "red crimson scarlet|blue azure cobalt|green verdant olive|golden gilded yellow|silver argent grey|"
    "black ebony dark|white pale ivory|old ancient aged|new modern recent|grand great large|"
    "little small tiny|royal regal kingly|quiet silent calm|bright shining lucid|northern arctic polar",
    "harbour port haven|river stream brook|mountain summit peak|forest wood grove|castle fortress citadel|"
    "bridge viaduct crossing|market bazaar fair|garden park orchard|valley glen dale|island isle atoll|"
    "lake mere pond|meadow field pasture|tower spire turret|mill grinder works|abbey convent cloister",
    "museum gallery collection|school academy college|theatre playhouse stage|hotel inn lodge|"
    "hospital clinic infirmary|library archive bookroom|station terminal depot|church chapel temple|"
    "prison jail gaol|bank treasury vault|factory plant workshop|bakery oven patisserie|"
    "stadium arena pitch|restaurant diner eatery|cinema pictures movies",
)
_SLOTS = [[tuple(group.split()) for group in slot.split("|")] for slot in _WORDS]
_TEMPLATES = (
    "last week the {} was opened again",
    "nobody had visited the {} for years",
    "they met in front of the {} at noon",
    "a fire has damaged the {} badly",
    "the mayor spoke about the {} and its future",
    "tourists like the {} more than any other place",
)


@dataclass(frozen=True)
class Mention:
    """A text, with a mention marked in it, and what it means.

    Parameters
    ----------
    text : with ``[START_ENT]`` and ``[END_ENT]`` around the mention.
    name : place of its name among the names.
    """

    text: str
    name: int


@dataclass(frozen=True)
class Mentions:
    """Names, and mentions of them to learn from and to be judged by.

    Parameters
    ----------
    names : the catalogue; unique.
    train : mentions to learn from.
    test : mentions of names that are known from ``train``.
    new : mentions of names that are not.
    """

    names: tuple[str, ...]
    train: tuple[Mention, ...]
    test: tuple[Mention, ...]
    new: tuple[Mention, ...]


def load_mentions(data: str, names: int, held_out: float, seed: int) -> Mentions:
    """Mentions by name or from a table, divided under a seed.

    Parameters
    ----------
    data : ``"places"``, ``"wordnet"``, or a table.
    names : how many names at most.
    held_out : share of the names none of whose mentions are learnt from, in (0, 1).
    seed : of the draw and the division.

    Raises
    ------
    InputError : naming ``data``, or ``names`` if there are too few to divide.

    Examples
    --------
    >>> found = load_mentions("places", names=50, held_out=0.2, seed=0)
    >>> found.names[0], len(found.train), len(found.test), len(found.new)
    ('Old Harbour Theatre', 160, 40, 10)
    """
    if data == "places":
        return _divided(_places(names, seed), held_out, seed)
    if data == "wordnet":
        folder = find_folder("kg_wn18rr")
        if folder is None:
            raise missing("kg_wn18rr", "entity_text.tsv.gz", "https://github.com/yao8839836/kg-bert")
        return _divided(_definitions(folder / "entity_text.tsv.gz", names, seed), held_out, seed)
    path = Path(data).expanduser()
    if not path.is_file():
        raise unknown("data", data, SETS)
    return _divided(_table(path, names, seed), held_out, seed)


def _places(names: int, seed: int) -> dict[str, list[str]]:
    """Names of three words, each with five sentences in which other words stand for most of them."""
    draw = random.Random(seed)
    every = list(itertools.product(*_SLOTS))
    if names > len(every):
        raise InputError("names", f"{names} are more than the {len(every)} that can be made")
    return {
        " ".join(group[0].title() for group in groups): [_sentence(groups, draw) for _ in range(5)]
        for groups in draw.sample(every, names)
    }


def _sentence(groups: Sequence[Sequence[str]], draw: random.Random) -> str:
    first, second, third = (draw.choice(group) for group in groups)
    if draw.random() < 0.3:
        said = f"{START} {first} {second} one {END} , a {third} ,"
    else:
        said = f"{START} {first} {second} {third} {END}"
    return draw.choice(_TEMPLATES).format(said)


def _definitions(path: Path, names: int, seed: int) -> dict[str, list[str]]:
    """Headwords with their definitions; those of several meanings have several."""
    found: dict[str, list[str]] = {}
    for place, line in lines(path):
        headword, comma, gloss = line.rstrip("\n").partition("\t")[2].partition(", ")
        if not comma:
            raise InputError("data", f"{place}: no headword and definition")
        found.setdefault(headword.replace("_", " "), []).append(f"{START} it {END} : {gloss}")
    return {name: found[name] for name in random.Random(seed).sample(sorted(found), min(names, len(found)))}


def _table(path: Path, names: int, seed: int) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for place, row in rows(path, ("text", "name")):
        if not isinstance(row.get("text"), str) or not isinstance(row.get("name"), str):
            raise InputError("data", f"{place}: no text in 'text' or 'name'")
        found.setdefault(row["name"], []).append(row["text"])
    return {name: found[name] for name in random.Random(seed).sample(sorted(found), min(names, len(found)))}


def _divided(texts: dict[str, list[str]], share: float, seed: int) -> Mentions:
    """One mention of each name is for the test, the others to learn from unless the name is held out."""
    count = round(share * len(texts))
    if not 0 < count < len(texts):
        raise InputError("names", f"{len(texts)} are too few to hold out a share of {share}")
    hidden = set(random.Random(seed).sample(range(len(texts)), count))
    train, test, new = list[Mention](), list[Mention](), list[Mention]()
    for place, mine in enumerate(texts.values()):
        if place in hidden:
            new.append(Mention(mine[-1], place))
            continue
        train += [Mention(text, place) for text in (mine[:-1] or mine)]
        if len(mine) > 1:
            test.append(Mention(mine[-1], place))
    return Mentions(tuple(texts), tuple(train), tuple(test), tuple(new))
