"""ColBERT: documents with tokens near those of a query are gathered, and scored by all of their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import annotated_types as at

from etude.method import method
from etude.search.collection import Corpus, Judged
from etude.search.retrieve.index import Index, build

if TYPE_CHECKING:
    from torch import Tensor

    from etude.search.late.engine import LateEngine
    from etude.search.late.segment import Segment

Count = Annotated[int, at.Ge(1)]
CountOrNone = Annotated[int, at.Ge(0)]


@method("colbert", task="retrieve")
class ColBERT:
    """Rank by the best match of every query token among all tokens of a document.

    Each query token finds its nearest document tokens, in the lists around the nearest centroids. The
    documents that these tokens speak for most are gathered, all tokens of each, and score
    ``mean_i max_j q_i . d_j``, the sum of ColBERT divided by the number of query tokens.

    With ``steps`` above 0 the encoder is trained first, by cross-entropy over the documents of a batch: on
    judged queries if there are any, else on titles and sentences of the corpus with the text they come from.

    Parameters
    ----------
    encoder : a model by name, or a folder: of transformers, or a ``MultiVectorEncoder``.
    width : of token vectors, by a projection onto the main directions of the corpus; 0 for the encoder's own.
    bits : of a number of a stored vector, which is coded as the rest beside its centroid; 32 for all of it.
    lists : centroids of a segment; 0 for four times the root of its number of tokens.
    probes : lists that a query token visits; 0 for all.
    tokens : nearest ones of each query token, from which candidates come.
    candidates : documents that are gathered.
    steps : of training.
    trained : the "projection" alone, on states that are made once, or "all" of the encoder.
    batch : pairs in a step.
    negatives : hard ones of each pair, from BM25.
    rate : of learning, at the beginning.
    temperature : of scores in training.

    Raises
    ------
    InputError : if a field is out of range, or a projection is to be trained and there is none.

    Examples
    --------
    >>> from etude.search.collection import Document
    >>> documents = [Document("a", "The wing lifts the plane."), Document("b", "She lost her keys.")]
    >>> index = ColBERT(encoder="nano-bert").index(documents)
    >>> list(index.search({"q": "She lost her keys."})["q"])
    ['b', 'a']

    References
    ----------
    Khattab and Zaharia, "ColBERT", SIGIR 2020, arXiv:2004.12832; residual codes as in Santhanam et al.,
    "ColBERTv2", NAACL 2022, arXiv:2112.01488.
    """

    encoder: str = "minilm"
    width: CountOrNone = 0
    bits: Literal[1, 2, 4, 8, 32] = 4
    lists: CountOrNone = 0
    probes: CountOrNone = 16
    tokens: Count = 500
    candidates: Count = 500
    steps: CountOrNone = 0
    trained: Literal["projection", "all"] = "projection"
    batch: Count = 32
    negatives: CountOrNone = 1
    rate: Annotated[float, at.Interval(gt=0)] = 1e-3
    temperature: Annotated[float, at.Interval(gt=0)] = 0.05

    def __post_init__(self) -> None:
        from etude.search.late.retrievers import check

        check(self)

    def index(self, corpus: Corpus, judged: Judged | None = None, seed: int = 0) -> Index:
        """Train the encoder if it is to be trained, and index the corpus."""
        from etude.search.late.retrievers import engine_of, learnt
        from etude.search.late.scoring import maxsim

        return build(self, engine_of(self, self.find, learnt(self, corpus, judged, seed, maxsim)), corpus)

    def engine(self, folder: Path | None = None) -> LateEngine:
        """The engine, with the encoder that was trained."""
        from etude.search.late.retrievers import engine

        return engine(self, self.find, folder)

    def find(
        self, segments: Sequence[Segment], query: Tensor, k: int, allowed: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Positions and scores of the best ``k`` documents for token vectors ``[query tokens, width]``."""
        from etude.search.late.search import gather, retrieve, top

        found = retrieve(segments, query, self.tokens, self.probes or None, allowed)
        candidates = top(found.documents, found.scores, max(k, self.candidates))[0].sort().values
        return top(candidates, gather(segments, query, candidates), k)
