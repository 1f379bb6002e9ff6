"""What recommenders have in common: whom they recommend to, what a user has had, and how they are kept."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from etude.data.interactions import Interactions
from etude.errors import InputError
from etude.files import new_folder

KIND = "recommender.json"


class Recommender(Protocol):
    """What a method's ``fit`` returns."""

    def recommend(
        self, histories: Sequence[Sequence[int]], users: Sequence[int], k: int
    ) -> NDArray[np.int64]:
        """The best ``k`` items for each user, best first, none of which the user has had, ``[users, k]``.

        Parameters
        ----------
        histories : the items of each user in the order of time.
        users : which users of the training they are.
        k : how many; -1 stands where there are no more.
        """

    def save(self, folder: Path) -> None:
        """Write it into a folder that exists and is empty."""


def check_interactions(interactions: Any) -> None:
    """Raise `InputError` unless there are sequences of items that exist, none of them empty."""
    if not isinstance(interactions, Interactions):
        raise InputError("interactions", f"{interactions!r:.60} are no Interactions")
    if not interactions.sequences or not all(interactions.sequences):
        raise InputError("interactions", "hold no user, or one without an item")
    for had in interactions.sequences:
        for item in had:
            if not isinstance(item, int) or not 0 <= item < interactions.items:
                raise InputError(
                    "interactions", f"hold the item {item!r}, and there are {interactions.items}"
                )
    for name in ("titles", "categories"):
        if len(getattr(interactions, name)) not in (0, interactions.items):
            raise InputError("interactions", f"have not as many {name} as items")


def exchanged(interactions: Interactions, seed: int) -> Interactions:
    """Each item in the place of another, drawn at random: users' sequences say nothing of the items any more.

    Examples
    --------
    >>> exchanged(Interactions(((0, 1), (0,)), items=2), seed=0).sequences
    ((1, 0), (1,))
    """
    places = random.Random(seed).sample(range(interactions.items), interactions.items)
    moved = tuple(tuple(places[item] for item in had) for had in interactions.sequences)
    return replace(interactions, sequences=moved)


def unseen(ranked: Sequence[Sequence[int]], histories: Sequence[Sequence[int]], k: int) -> NDArray[np.int64]:
    """Ranked items without those that the user has had, ``[users, k]``, filled up with -1.

    Examples
    --------
    >>> unseen([[3, 1, 2]], [[1]], k=3)
    array([[ 3,  2, -1]])
    """
    found = np.full((len(ranked), k), -1, np.int64)
    for row, (items, had) in enumerate(zip(ranked, map(set, histories), strict=True)):
        left = [item for item in items if item not in had][:k]
        found[row, : len(left)] = left
    return found


@dataclass(frozen=True)
class Scores:
    """A recommender that gives every item a score.

    Parameters
    ----------
    kind : which one, for the file.
    arrays : what was learnt, by name.
    """

    kind: str
    arrays: Mapping[str, NDArray[Any]]

    def scores(self, histories: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Of all items for each user, ``[users, items]``."""
        from etude.search.recommend import scoring

        return scoring.KINDS[self.kind](self.arrays, histories)

    def recommend(
        self, histories: Sequence[Sequence[int]], users: Sequence[int], k: int
    ) -> NDArray[np.int64]:
        """The best ``k`` of the items that the user has not had; of equals the first."""
        scores = self.scores(histories)
        for row, had in enumerate(histories):
            scores[row, list(had)] = -np.inf
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        there = np.isfinite(np.take_along_axis(scores, order, 1))
        found = np.where(there, order, -1)
        return np.pad(found, ((0, 0), (0, k - found.shape[1])), constant_values=-1)

    def save(self, folder: Path) -> None:
        """Write the arrays."""
        for name, array in self.arrays.items():
            np.save(folder / f"{name}.npy", array, allow_pickle=False)


def save_recommender(recommender: Any, folder: str | Path) -> None:
    """Write a recommender into a new or empty folder, for `load_recommender`."""
    with new_folder(Path(folder).expanduser()) as temporary:
        kind = recommender.kind if isinstance(recommender, Scores) else "generative"
        (temporary / KIND).write_text(json.dumps({"kind": kind}), encoding="utf-8")
        recommender.save(temporary)


def load_recommender(folder: str | Path) -> Any:
    """Read a recommender.

    Raises
    ------
    InputError : naming ``recommender`` if there is none.
    """
    path = Path(folder).expanduser()
    if not (path / KIND).is_file():
        raise InputError("recommender", f"{path} holds none ({KIND})")
    kind = json.loads((path / KIND).read_text(encoding="utf-8"))["kind"]
    if kind == "generative":
        from etude.search.recommend.generative import Generative

        return Generative.load(path)
    arrays = {file.stem: np.load(file, allow_pickle=False) for file in sorted(path.glob("*.npy"))}
    return Scores(kind, arrays)
