"""Pointwise reranking by how likely a language model finds the question behind a passage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import annotated_types as at

from etude.method import method
from etude.models.fingerprint import fingerprint
from etude.search.rerank.causal import Causal
from etude.search.rerank.pointwise import Likelihood
from etude.search.rerank.reranking import Reranker

TEMPLATE = "Passage: {passage}\nPlease write a question based on this passage."


@method("query-likelihood", task="rerank")
class QueryLikelihood:
    """Score each passage by the mean log-likelihood of the question's tokens behind it (UPR).

    Parameters
    ----------
    model : a causal language model, as for `etude.models.load`.
    passage : tokens of a passage, at most.

    Raises
    ------
    InputError : if a field is out of range, or the model is no causal language model.

    Examples
    --------
    >>> from etude.search.collection import Document
    >>> reranker = QueryLikelihood(model="nano-llama").fit()
    >>> reranker.rank("the cat", [Document("a", "the sea"), Document("b", "the cat, the cat, the cat")]).order
    [1, 0]

    References
    ----------
    Sachan et al., "Improving Passage Retrieval with Zero-Shot Question Generation", EMNLP 2022.
    arXiv:2204.07496.
    """

    model: str = "smollm2"
    passage: Annotated[int, at.Ge(1)] = 300

    def fit(self) -> Reranker:
        """There is nothing to learn."""
        return Reranker(self, self.engine())

    def engine(self, folder: Path | None = None) -> Likelihood:
        """See `etude.search.rerank.reranking.Method`."""
        return Likelihood(Causal.load(self.model), TEMPLATE, self.passage, fingerprint(self.model))
