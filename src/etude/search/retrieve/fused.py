"""Several engines over the same documents, and how what they find becomes one ranking."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from etude.errors import InputError
from etude.search.collection import Document
from etude.search.named import named
from etude.search.retrieve.index import Engine, Searcher

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from etude.search.retrieve.found import Found

    Gains = Callable[[NDArray[np.float32]], NDArray[np.float64]]
    """Scores of a ranking, best first, to what its documents gain."""


def by_ranks(constant: float) -> Gains:
    """``1 / (constant + rank)``."""
    return lambda scores: 1 / (constant + np.arange(1, len(scores) + 1))


def by_scores(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """Scores brought to [0, 1] by the first and the last."""
    exact = scores.astype(np.float64)
    spread = max(exact[0] - exact[-1], 1e-9) if len(exact) else 1.0
    scaled: NDArray[np.float64] = (exact - exact[-1:].sum()) / spread
    return scaled


def engines(names: Sequence[str]) -> dict[str, Engine]:
    """The engines of retrievers, as they are by default.

    Raises
    ------
    InputError : naming ``retrievers`` if there is none, or one is unknown or must be trained.
    """
    if not names:
        raise InputError("retrievers", "name one or more, such as bm25,dense")
    from etude.search import retrieve

    methods = [named(retrieve, name, "retrievers") for name in names]
    try:
        return {f"{place}-{cls.name}": cls().engine() for place, cls in enumerate(methods)}
    except InputError as error:
        raise InputError("retrievers", f"{error.field}: {error.message}") from error


class FusedEngine:
    """The engine of fusion.

    Parameters
    ----------
    parts : engines by the name of the folder that each keeps in a segment.
    weights : one for each, or none.
    depth : documents that each finds.
    gains : what a document gains in each ranking.
    """

    def __init__(
        self, parts: Mapping[str, Engine], weights: Sequence[float], depth: int, gains: Gains
    ) -> None:
        if weights and len(weights) != len(parts):
            raise InputError("weights", f"there are {len(weights)} for {len(parts)} retrievers")
        self._parts = parts
        self._weights = weights or [1.0] * len(parts)
        self._depth = depth
        self._gains = gains

    @property
    def fingerprint(self) -> str:
        """Of all encoders together."""
        return hashlib.sha256("".join(part.fingerprint for part in self._parts.values()).encode()).hexdigest()

    @property
    def segment(self) -> int:
        """As many as each part may have."""
        return min(part.segment for part in self._parts.values())

    def write(self, documents: Iterable[Document], folder: Path) -> None:
        """Write the documents once for each part; they are held in memory meanwhile."""
        held = list(documents)
        for name, part in self._parts.items():
            (folder / name).mkdir()
            part.write(held, folder / name)

    def open(self, segments: Sequence[Path]) -> FusedSearcher:
        """Open each part's segments."""
        searchers = [part.open([folder / name for folder in segments]) for name, part in self._parts.items()]
        return FusedSearcher(searchers, self._weights, self._depth, self._gains)

    def save(self, folder: Path) -> None:
        """Nothing was learnt."""


class FusedSearcher:
    """Asks several, and fuses what they find."""

    def __init__(
        self, searchers: Sequence[Searcher], weights: Sequence[float], depth: int, gains: Gains
    ) -> None:
        self._searchers = searchers
        self._weights = weights
        self._depth = depth
        self._gains = gains

    def search(self, queries: Sequence[str], k: int) -> Found:
        """The ``k`` documents that gain most; the first is first among equals."""
        found = [searcher.search(queries, max(k, self._depth)) for searcher in self._searchers]
        positions = np.full((len(queries), k), -1, np.int64)
        scores = np.zeros((len(queries), k), np.float32)
        for row in range(len(queries)):
            rankings = [
                (places[row][places[row] >= 0], values[row][places[row] >= 0]) for places, values in found
            ]
            gains = [w * self._gains(values) for w, (_, values) in zip(self._weights, rankings, strict=True)]
            best, which = np.unique(np.concatenate([places for places, _ in rankings]), return_inverse=True)
            totals = np.bincount(which, np.concatenate(gains), minlength=len(best))
            order = np.argsort(-totals, kind="stable")[:k]
            positions[row, : len(order)] = best[order]
            scores[row, : len(order)] = totals[order]
        return positions, scores
