"""XTR: documents are scored from the retrieved tokens alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from etude.method import method
from etude.search.retrieve.late_interaction import Count, LateInteraction

if TYPE_CHECKING:
    from torch import Tensor

    from etude.search.late.segment import Segment
    from etude.search.late.training import Score


@method("xtr", task="retrieve", paper="xtr", beside=("colbert",))
class XTR(LateInteraction):
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
    tokens : that each query token retrieves, k'.
    tokens_train : that a query token retrieves from a batch in training.

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

    tokens: Count = 1000
    tokens_train: Count = 320

    @property
    def score(self) -> Score:
        """The same of the tokens that a query token retrieves from the batch."""
        from etude.search.late.scoring import xtr_scores

        return partial(xtr_scores, k=self.tokens_train)

    def find(
        self, segments: Sequence[Segment], query: Tensor, k: int, allowed: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Positions and scores of the best ``k`` documents for token vectors ``[query tokens, width]``."""
        from etude.search.late.search import retrieve, top

        found = retrieve(segments, query, self.tokens, self.probes or None, allowed)
        return top(found.documents, found.scores, k)
