"""XTR: documents are scored from the retrieved tokens alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
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


@method("xtr", task="retrieve", paper="xtr", beside=("colbert",))
class XTR:
    """Rank by the retrieved tokens: the best one of each document, or else the last one retrieved at all.

    Each query token retrieves ``tokens`` document tokens. For a document of which it retrieved some, the
    best counts; for another the similarity is unknown, but at most that of the last token retrieved, and so
    much is imputed. A document scores the mean over the query's tokens. No document is ever gathered, and
    the score is never below the exact one if the search is exact.

    With ``steps`` above 0 the encoder is trained for that first: in a batch, a query token's similarity to
    a document counts only if it is among the ``tokens_train`` largest over all tokens of all documents
    of the batch (`etude.search.late.scoring.xtr_scores`). Pairs come from judged queries if there are any,
    else from titles and sentences of the corpus with the text they come from.

    Parameters
    ----------
    encoder : a model by name, or a folder: of transformers, or a ``MultiVectorEncoder``.
    width : of token vectors, by a projection onto the main directions of the corpus; 0 for the encoder's own.
    bits : of a number of a stored vector, which is coded as the rest beside its centroid; 32 for all of it.
    lists : centroids of a segment; 0 for four times the root of its number of tokens.
    probes : lists that a query token visits; 0 for all, which is an exact search but for the bits.
    tokens : that each query token retrieves, k'.
    tokens_train : that a query token retrieves from a batch in training.
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
    >>> index = XTR(encoder="nano-bert", tokens=4).index(documents)
    >>> list(index.search({"q": "She lost her keys."})["q"])
    ['b', 'a']

    References
    ----------
    Lee et al., "Rethinking the Role of Token Retrieval in Multi-Vector Retrieval", NeurIPS 2023.
    arXiv:2304.01982.
    """

    encoder: str = "minilm"
    width: CountOrNone = 0
    bits: Literal[1, 2, 4, 8, 32] = 4
    lists: CountOrNone = 0
    probes: CountOrNone = 16
    tokens: Count = 1000
    tokens_train: Count = 320
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
        from etude.search.late.scoring import xtr_scores

        score = partial(xtr_scores, k=self.tokens_train)
        return build(self, engine_of(self, self.find, learnt(self, corpus, judged, seed, score)), corpus)

    def engine(self, folder: Path | None = None) -> LateEngine:
        """The engine, with the encoder that was trained."""
        from etude.search.late.retrievers import engine

        return engine(self, self.find, folder)

    def find(
        self, segments: Sequence[Segment], query: Tensor, k: int, allowed: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Positions and scores of the best ``k`` documents for token vectors ``[query tokens, width]``."""
        from etude.search.late.search import retrieve, top

        found = retrieve(segments, query, self.tokens, self.probes or None, allowed)
        return top(found.documents, found.scores, k)
