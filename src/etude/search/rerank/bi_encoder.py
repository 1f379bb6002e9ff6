"""A bi-encoder as a reranker: one vector a text, as dense retrieval has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from etude.method import method
from etude.models.fingerprint import fingerprint
from etude.search.embedder import Embedder
from etude.search.rerank.pointwise import by_question
from etude.search.rerank.reranking import Asked, Ranking, Reranker


@method("bi-encoder", task="rerank")
class BiEncoder:
    """Score each passage by the cosine of its vector with the query's.

    Parameters
    ----------
    model : an encoder, as for `etude.models.load`, pooled as its folder says.

    Raises
    ------
    InputError : if the model is no encoder with a tokenizer.

    Examples
    --------
    >>> from etude.search.collection import Document
    >>> reranker = BiEncoder().fit()
    >>> reranker.rank("a fast car", [Document("a", "of the sea"), Document("b", "quick vehicles")]).order
    [1, 0]

    References
    ----------
    Reimers and Gurevych, "Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks", EMNLP 2019.
    arXiv:1908.10084.
    """

    model: str = "minilm"

    def fit(self) -> Reranker:
        """There is nothing to learn."""
        return Reranker(self, self.engine())

    def engine(self, folder: Path | None = None) -> Vectors:
        """See `etude.search.rerank.reranking.Method`."""
        return Vectors(Embedder.load(self.model), fingerprint(self.model))


@dataclass(frozen=True)
class Vectors:
    """Compares texts by one vector each; see `BiEncoder`."""

    embedder: Embedder
    fingerprint: str

    def rank(self, asked: Sequence[Asked]) -> list[Ranking]:
        """See `etude.search.rerank.reranking.Engine`."""
        return by_question(asked, self._rank)

    def _rank(self, query: str, passages: Sequence[str]) -> Ranking:
        texts = [query, *passages]
        vectors = self.embedder.encode(texts)
        read = sum(map(len, self.embedder.ids(texts)))
        return Ranking((vectors[1:] @ vectors[0]).tolist(), read, 0, 1)

    def save(self, folder: Path) -> None:
        """Nothing has been learnt."""
