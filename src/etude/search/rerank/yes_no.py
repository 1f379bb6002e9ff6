"""Pointwise reranking by the answer to a question: is this passage relevant?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import annotated_types as at

from etude.method import method
from etude.models.fingerprint import fingerprint
from etude.search.rerank.pointwise import Verdict
from etude.search.rerank.reranking import Reranker
from etude.search.rerank.seq2seq import asked

TEMPLATE = "Passage: {passage}\nQuery: {query}\nDoes the passage answer the query? Answer 'Yes' or 'No'."


@method("yes-no", task="rerank")
class YesNo:
    """Score each passage by how much likelier a language model answers "Yes" than "No".

    The score is the difference of the two logits: the log-odds of Yes among the two.

    Parameters
    ----------
    model : a causal or sequence-to-sequence language model, as for `etude.models.load`.
    passage : tokens of a passage, at most.

    Raises
    ------
    InputError : if a field is out of range, or the model begins "Yes" and "No" alike.

    Examples
    --------
    >>> from etude.search.collection import Document
    >>> reranker = YesNo(model="nano-llama").fit()
    >>> ranking = reranker.rank("what is the cat", [Document("a", "the sea"), Document("b", "the cat")])
    >>> sorted(ranking.order), ranking.generated
    ([0, 1], 2)

    References
    ----------
    Liang et al., "Holistic Evaluation of Language Models", TMLR 2023. arXiv:2211.09110.
    """

    model: str = "smollm2"
    passage: Annotated[int, at.Ge(1)] = 300

    def fit(self) -> Reranker:
        """There is nothing to learn."""
        return Reranker(self, self.engine())

    def engine(self, folder: Path | None = None) -> Verdict:
        """See `etude.search.rerank.reranking.Method`."""
        return Verdict(asked(self.model), TEMPLATE, "Yes", "No", self.passage, fingerprint(self.model))
