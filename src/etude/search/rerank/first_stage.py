"""The order of the first stage, as it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from etude.method import method
from etude.search.rerank.reranking import Asked, Ranking, Reranker


@method("first-stage", task="rerank")
class FirstStage:
    """Leave the candidates in the order in which the first stage has them.

    Examples
    --------
    >>> from etude.search.collection import Document
    >>> FirstStage().fit().rank("wings?", [Document("a", "a tail"), Document("b", "a wing")]).scores
    [0.0, -1.0]
    """

    def fit(self) -> Reranker:
        """There is nothing to learn."""
        return Reranker(self, self.engine())

    def engine(self, folder: Path | None = None) -> _AsTheyStand:
        """See `etude.search.rerank.reranking.Method`."""
        return _AsTheyStand()


class _AsTheyStand:
    fingerprint = ""

    def rank(self, asked: Sequence[Asked]) -> list[Ranking]:
        return [Ranking([0.0 - place for place in range(len(documents))]) for _, documents in asked]

    def save(self, folder: Path) -> None:
        pass
