"""Who had what, and when: sequences of items by user, from named sets, tables, or drawn with groups in them.

A table (CSV, TSV, JSON lines, Parquet, or RecBole's ``.inter``) has a row for each interaction: ``user`` and
``item`` (or ``user_id``, ``item_id``) and, if rows are not in the order of time, ``timestamp``. Another one
may tell about items: ``item``, ``title`` and ``categories``, a path from general to special divided by ``|``.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etude.data.rows import lines, rows
from etude.data.sets import find_folder, missing
from etude.errors import InputError, unknown

SETS = {
    "groups": "drawn: 300 items in 12 groups, 800 users who stay in a group or go on to the next",
    "beauty": "Amazon Beauty: 22,363 users, 12,101 items, no titles",
    "movielens": "MovieLens latest-small: 671 users, films with titles and genres",
}
"""Named sets."""


@dataclass(frozen=True)
class Interactions:
    """Items are numbers from 0, users the places of their sequences.

    Parameters
    ----------
    sequences : the items of each user in the order of time.
    items : how many items there are.
    titles : of each item; empty if they have none.
    categories : of each item, general before special; empty if there are none.
    """

    sequences: tuple[tuple[int, ...], ...]
    items: int
    titles: tuple[str, ...] = ()
    categories: tuple[tuple[str, ...], ...] = ()


def load_interactions(data: str, about: str = "", least: int = 5) -> Interactions:
    """Interactions by name or from a table.

    Parameters
    ----------
    data : ``"groups"``, ``"beauty"``, ``"movielens"``, or a table.
    about : a table about the items; "" for none, or that of the named set.
    least : users and items with fewer interactions are left out, again and again until none is left.

    Raises
    ------
    InputError : naming ``data`` or ``about``, the file and the line.

    Examples
    --------
    >>> found = load_interactions("groups")
    >>> len(found.sequences), found.items, found.titles[0], found.categories[0]
    (800, 300, 'Rose Soap 100', ('hair', 'soap'))
    """
    if data == "groups":
        return groups(seed=0)
    if data == "beauty":
        path = _of_set(
            "amazon_beauty_sequences", "sequences.txt.gz", "https://github.com/Wenyueh/LLM-RecSys-ID"
        )
        return _numbered(_sequences(path), {}, least)
    if data == "movielens":
        path = _of_set("movielens_latest_small", "ratings.csv.gz", "https://grouplens.org/datasets/movielens")
        films = _about(path.parent / "movies.csv.gz")
        return _numbered(_by_user(path), films, least)
    path = Path(data).expanduser()
    if not path.is_file():
        raise unknown("data", data, SETS)
    known = _about(Path(about).expanduser()) if about else {}
    return _numbered(_by_user(path), known, least)


def groups(
    seed: int, items: int = 300, users: int = 800, kinds: int = 12, stay: float = 0.8, known: float = 0.8
) -> Interactions:
    """Users who go through groups of items: with a chance of ``stay`` the next is of the same group, else of
    the one after it; nothing comes twice. Categories tell the group of a share ``known`` of the items.

    Parameters
    ----------
    seed : of the draws.
    items, users, kinds : how many items, users, and groups.
    stay, known : probabilities.
    """
    draw = random.Random(seed)
    group = [item % kinds for item in draw.sample(range(items), items)]
    members = [[item for item in range(items) if group[item] == kind] for kind in range(kinds)]
    sequences = list[tuple[int, ...]]()
    for _ in range(users):
        kind, had = draw.randrange(kinds), list[int]()
        while len(had) < 6 + len(sequences) % 7:
            left = [item for item in members[kind] if item not in had]
            if left:
                had.append(draw.choice(left))
            kind = kind if left and draw.random() < stay else (kind + 1) % kinds
        sequences.append(tuple(had))
    told = [kind if draw.random() < known else draw.randrange(kinds) for kind in group]
    nouns = (
        "cream",
        "soap",
        "lotion",
        "brush",
        "powder",
        "scent",
        "comb",
        "mask",
        "oil",
        "balm",
        "gel",
        "wax",
    )
    colours = ("Amber", "Azure", "Coral", "Ivory", "Jade", "Lilac", "Olive", "Pearl", "Rose", "Ruby")
    roots = ("face", "hair", "body", "home")
    titles = [f"{draw.choice(colours)} {nouns[kind].title()} {100 + item}" for item, kind in enumerate(told)]
    paths = [(roots[kind % len(roots)], nouns[kind]) for kind in told]
    return Interactions(tuple(sequences), items, tuple(titles), tuple(paths))


def _of_set(name: str, file: str, home: str) -> Path:
    folder = find_folder(name)
    if folder is None:
        raise missing(name, file, home)
    return folder / file


def _sequences(path: Path) -> dict[str, list[str]]:
    """Lines of a user and that user's items."""
    return {user: items for user, *items in (line.split() for _, line in lines(path))}


def _by_user(path: Path) -> dict[str, list[str]]:
    """Rows of one interaction each, by user and in the order of time."""
    found: dict[str, list[tuple[float, str]]] = {}
    for place, row in _rows(path):
        user, item = _field(place, row, "user"), _field(place, row, "item")
        try:
            time = float(row.get("timestamp") or 0)
        except ValueError:
            raise InputError("data", f"{place}: the time {row['timestamp']!r} is no number") from None
        found.setdefault(user, []).append((time, item))
    return {user: [item for _, item in sorted(had, key=lambda one: one[0])] for user, had in found.items()}


def _about(path: Path) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Title and categories of each item."""
    if not path.is_file():
        raise InputError("about", f"there is no file {path}")
    found = {}
    for place, row in _rows(path):
        kinds = str(row.get("categories") or row.get("genres") or "")
        found[_field(place, row, "item")] = (
            str(row.get("title") or ""),
            tuple(filter(None, kinds.split("|"))),
        )
    return found


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows with plain names: ``user_id:token`` and ``userId`` are ``user``, ``movieId`` is ``item``."""
    names = {"user_id": "user", "userId": "user", "item_id": "item", "itemId": "item", "movieId": "item"}
    for place, row in rows(path):
        plain = {str(name).partition(":")[0]: value for name, value in row.items()}
        yield place, {names.get(name, name): value for name, value in plain.items()}


def _field(place: str, row: dict[str, Any], name: str) -> str:
    if row.get(name) in (None, ""):
        raise InputError("data", f"{place}: no field {name!r}")
    return str(row[name])


def _numbered(
    sequences: dict[str, list[str]], about: dict[str, tuple[str, tuple[str, ...]]], least: int
) -> Interactions:
    kept = _core(sequences, least)
    if not kept:
        raise InputError("least", f"no user and item have {least} interactions")
    numbers = {item: number for number, item in enumerate(dict.fromkeys(_every(kept.values())))}
    known = [about.get(item, ("", ())) for item in numbers]
    return Interactions(
        tuple(tuple(numbers[item] for item in had) for had in kept.values()),
        len(numbers),
        tuple(title for title, _ in known) if about else (),
        tuple(path for _, path in known) if about else (),
    )


def _core(sequences: dict[str, list[str]], least: int) -> dict[str, list[str]]:
    """Users and items that have ``least`` interactions among each other."""
    while True:
        counts = Counter(_every(sequences.values()))
        rare = {item for item, count in counts.items() if count < least}
        left = {user: [item for item in had if item not in rare] for user, had in sequences.items()}
        left = {user: had for user, had in left.items() if len(had) >= least}
        if left == sequences:
            return left
        sequences = left


def _every(sequences: Iterable[Sequence[str]]) -> Iterator[str]:
    return (item for had in sequences for item in had)
