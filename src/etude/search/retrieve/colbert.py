"""ColBERT: documents with tokens near those of a query are gathered, and scored by all of their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from etude.method import method
from etude.search.retrieve.late_interaction import Count, LateInteraction

if TYPE_CHECKING:
    from torch import Tensor

    from etude.search.late.segment import Segment
    from etude.search.late.training import Score


@method("colbert", task="retrieve")
class ColBERT(LateInteraction):
    """Rank by the best match of every query token among all tokens of a document.

    Each query token finds its nearest document tokens, in the lists around the nearest centroids. The
    documents that these tokens speak for most are gathered, all tokens of each, and score
    ``mean_i max_j q_i . d_j``, the sum of ColBERT divided by the number of query tokens.

    With ``steps`` above 0 the encoder is trained first, by cross-entropy over the documents of a batch: on
    judged queries if there are any, else on titles and sentences of the corpus with the text they come from.

    Parameters
    ----------
    tokens : nearest ones of each query token, from which candidates come.
    candidates : documents that are gathered.

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

    tokens: Count = 500
    candidates: Count = 500

    @property
    def score(self) -> Score:
        """The mean over a query's tokens of the best match in each document."""
        from etude.search.late.scoring import maxsim

        return maxsim

    def find(
        self, segments: Sequence[Segment], query: Tensor, k: int, allowed: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Positions and scores of the best ``k`` documents for token vectors ``[query tokens, width]``."""
        from etude.search.late.search import gather, retrieve, top

        found = retrieve(segments, query, self.tokens, self.probes or None, allowed)
        candidates = top(found.documents, found.scores, max(k, self.candidates))[0].sort().values
        return top(candidates, gather(segments, query, candidates), k)
