"""Several retrievers as one: their runs are fused, by ranks or by scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import annotated_types as at

from etude.method import method
from etude.search.collection import Corpus
from etude.search.retrieve.fused import FusedEngine, by_ranks, by_scores, engines
from etude.search.retrieve.index import Index, build


@method("rrf", task="retrieve")
class ReciprocalRankFusion:
    """Rank by the sum of ``weight / (constant + rank)`` over several retrievers.

    Parameters
    ----------
    retrievers : names of retrievers that need no training; each is taken as it is by default.
    weights : of the retrievers; none for 1 each.
    constant : how little the first ranks stand out, >= 0.
    depth : documents that each retriever finds, >= 1, and at least as many as are asked for.

    Raises
    ------
    InputError : naming ``retrievers`` for a name that is none, ``weights`` if there is not one for each.

    Examples
    --------
    >>> from etude.search.collection import Document
    >>> corpus = [Document("a", "the wing of a bird"), Document("b", "a bank lends money")]
    >>> ReciprocalRankFusion(retrievers=("bm25", "bm25")).index(corpus).search({"q": "wing"})
    {'q': {'a': 0.0327...}}

    References
    ----------
    Cormack, Clarke and Buettcher, "Reciprocal Rank Fusion outperforms Condorcet and individual rank learning
    methods", SIGIR 2009.
    """

    retrievers: tuple[str, ...] = ("bm25", "dense")
    weights: tuple[float, ...] = ()
    constant: Annotated[int, at.Ge(0)] = 60
    depth: Annotated[int, at.Ge(1)] = 1000

    def index(self, corpus: Corpus) -> Index:
        """Index a corpus with each retriever."""
        return build(self, self.engine(), corpus)

    def engine(self, folder: Path | None = None) -> FusedEngine:
        """The engines of the retrievers."""
        return FusedEngine(engines(self.retrievers), self.weights, self.depth, by_ranks(self.constant))


@method("weighted-fusion", task="retrieve")
class WeightedFusion:
    """Rank by the weighted sum of several retrievers' scores, each brought to [0, 1] by its best and last.

    Parameters
    ----------
    retrievers : names of retrievers that need no training; each is taken as it is by default.
    weights : of the retrievers; none for 1 each.
    depth : documents that each retriever finds, >= 1, and at least as many as are asked for.

    Raises
    ------
    InputError : naming ``retrievers`` for a name that is none, ``weights`` if there is not one for each.

    Examples
    --------
    >>> from etude.search.collection import Document
    >>> corpus = [Document("a", "the wing of a bird"), Document("b", "a bird sings")]
    >>> WeightedFusion(retrievers=("bm25", "bm25")).index(corpus).search({"q": "wing of a bird"})
    {'q': {'a': 2.0, 'b': 0.0}}
    """

    retrievers: tuple[str, ...] = ("bm25", "dense")
    weights: tuple[float, ...] = ()
    depth: Annotated[int, at.Ge(1)] = 1000

    def index(self, corpus: Corpus) -> Index:
        """Index a corpus with each retriever."""
        return build(self, self.engine(), corpus)

    def engine(self, folder: Path | None = None) -> FusedEngine:
        """The engines of the retrievers."""
        return FusedEngine(engines(self.retrievers), self.weights, self.depth, by_scores)
