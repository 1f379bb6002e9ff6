"""Ways to spell an item: a few pieces each, of which no two items have the same.

A piece in angle brackets is a token of its own; any other is text, which the model's tokenizer cuts further.
One function for each scheme of Hua et al., "How to Index Item IDs for Recommendation Foundation Models",
SIGIR-AP 2023, arXiv:2305.06569.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from etude.data.interactions import Interactions
from etude.errors import InputError
from etude.search.recommend.clustering import clustered, co_occurrence

Pieces = tuple[str, ...]
Order = Literal["time", "random", "short", "long"]
Scheme = Literal["rid", "tid", "iid", "sid", "cid", "semid", "cid+iid", "semid+iid", "sid+iid"]

FIRST = 1001
"""The number of the first item in sequential ids."""


def random_ids(items: int, seed: int) -> list[Pieces]:
    """RID: numbers from 1000 on, drawn without replacement from 12,000 (or from as many as there are items).

    Examples
    --------
    >>> len(set(random_ids(300, seed=0)))
    300
    """
    return [(str(n),) for n in random.Random(seed).sample(range(1000, 1000 + max(12_000, items)), items)]


def title_ids(titles: Sequence[str]) -> list[Pieces]:
    """TID: titles in brackets; one that is there already gets a number.

    Examples
    --------
    >>> title_ids(["Emma", "Emma", ""])
    [('[Emma]',), ('[Emma 2]',), ('[untitled]',)]
    """
    taken, found = set[str](), list[Pieces]()
    for title in (title.strip() or "untitled" for title in titles):
        name, number = title, 1
        while name in taken:
            number += 1
            name = f"{title} {number}"
        taken.add(name)
        found.append((f"[{name}]",))
    return found


def independent_ids(items: int) -> list[Pieces]:
    """IID: a token of its own for every item."""
    return [(_own(item),) for item in range(items)]


def sequential_ids(sequences: Sequence[Sequence[int]], items: int, order: Order, seed: int) -> list[Pieces]:
    """SID: items numbered as they are first seen, user after user; those that nobody had come last.

    Parameters
    ----------
    sequences : of training alone: what is to be foretold must not be numbered by what came before it.
    items : how many there are.
    order : of users: as they come ("time"), drawn ("random"), or by the length of their sequences.
    seed : of the draw.

    Examples
    --------
    >>> sequential_ids([[2, 0], [1]], 4, "short", seed=0)
    [('1003',), ('1001',), ('1002',), ('1004',)]
    """
    users = list(sequences)
    if order == "random":
        random.Random(seed).shuffle(users)
    elif order != "time":
        users.sort(key=len, reverse=order == "long")
    seen = dict.fromkeys(item for user in users for item in user)
    numbers = {item: FIRST + n for n, item in enumerate(dict.fromkeys([*seen, *range(items)]))}
    return [(str(numbers[item]),) for item in range(items)]


def collaborative_ids(
    sequences: Sequence[Sequence[int]], items: int, clusters: int, size: int, levels: int = 8
) -> list[Pieces]:
    """CID: the clusters that an item is in, from the outermost on, and a number within the innermost.

    Examples
    --------
    >>> collaborative_ids([[0, 1], [2, 3]], 4, clusters=1, size=4)
    [('<a0>', '<n0>'), ('<a0>', '<n1>'), ('<a0>', '<n2>'), ('<a0>', '<n3>')]
    """
    paths = clustered(co_occurrence(sequences, items), clusters, size, levels)
    return _numbered([_nested("a", map(str, path)) for path in paths])


def semantic_ids(categories: Sequence[Sequence[str]]) -> list[Pieces]:
    """SemID: a token for each category on an item's path but the first, if all share it, and a number.

    Examples
    --------
    >>> semantic_ids([["Beauty", "Hair"], ["Beauty", "Hair"], ["Beauty", "Skin"]])
    [('<c Hair>', '<n0>'), ('<c Hair>', '<n1>'), ('<c Skin>', '<n0>')]
    """
    shared = len({tuple(path[:1]) for path in categories}) == 1
    return _numbered([tuple(f"<c {name}>" for name in path[shared:]) for path in categories])


def frequent(categories: Sequence[Sequence[str]], kept: int = 5, above: int = 10) -> list[tuple[str, ...]]:
    """Labels without an order made a path: the commonest of an item's that more than ``above`` items have.

    Examples
    --------
    >>> frequent([["b", "a"], ["a"], ["a", "c"]], kept=1, above=1)
    [('a',), ('a',), ('a',)]
    """
    counts = Counter(name for path in categories for name in path)
    return [
        tuple([name for name in sorted(path, key=lambda n: (-counts[n], n)) if counts[name] > above][:kept])
        for path in categories
    ]


def with_independent(ids: Sequence[Pieces], numbered: bool) -> list[Pieces]:
    """HID: ids whose last piece is a token of the item's own: in the place of a number, or behind.

    Examples
    --------
    >>> with_independent([("<a0>", "<n0>"), ("<a0>", "<n1>")], numbered=True)
    [('<a0>', '<i0>'), ('<a0>', '<i1>')]
    """
    return [(*(pieces[:-1] if numbered else pieces), _own(item)) for item, pieces in enumerate(ids)]


def ids_of(
    scheme: Scheme, known: Interactions, *, order: Order, clusters: int, size: int, seed: int
) -> list[Pieces]:
    """The ids of all items by the name of their scheme; ``known`` holds the sequences of training.

    Raises
    ------
    InputError : naming ``ids`` if the items have no titles, or no categories, and the scheme needs them.
    """
    for needs, there in (("tid", known.titles), ("semid", known.categories)):
        if scheme.startswith(needs) and not there:
            raise InputError("ids", f"{scheme} needs items' {'titles' if needs == 'tid' else 'categories'}")
    sequences, items = known.sequences, known.items
    made: dict[str, Callable[[], list[Pieces]]] = {
        "rid": lambda: random_ids(items, seed),
        "tid": lambda: title_ids(known.titles),
        "iid": lambda: independent_ids(items),
        "sid": lambda: sequential_ids(sequences, items, order, seed),
        "cid": lambda: collaborative_ids(sequences, items, clusters, size),
        "semid": lambda: semantic_ids(known.categories),
    }
    base, _, own = scheme.partition("+")
    return with_independent(made[base](), numbered=base != "sid") if own else made[base]()


def new_tokens(ids: Iterable[Pieces]) -> list[str]:
    """The pieces that are tokens of their own, as they come."""
    return [*dict.fromkeys(piece for pieces in ids for piece in pieces if piece.startswith("<"))]


def _own(item: int) -> str:
    return f"<i{item}>"


def _nested(kind: str, path: Iterable[str]) -> Pieces:
    """Tokens that say the whole way: a cluster within another is called otherwise than in a third."""
    names = list(path)
    return tuple(f"<{kind}{'-'.join(names[: n + 1])}>" for n in range(len(names)))


def _numbered(paths: Sequence[Pieces]) -> list[Pieces]:
    """Paths with a number behind them, from 0 among those that share a path."""
    counts: dict[Pieces, int] = defaultdict(int)
    found = []
    for path in paths:
        found.append((*path, f"<n{counts[path]}>"))
        counts[path] += 1
    return found
