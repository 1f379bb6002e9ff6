"""FIRST: a window is ranked by the logits of the answer's first token."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import annotated_types as at

from etude.method import method
from etude.search.rerank.causal import Causal
from etude.search.rerank.listwise import Answer, Listwise
from etude.search.rerank.listwise_losses import RankLoss
from etude.search.rerank.listwise_method import WindowMethod
from etude.search.rerank.listwise_training import Course
from etude.search.rerank.prompts import Listing


@method("first", task="rerank", paper="first", beside=("rankgpt",))
class First(WindowMethod):
    """Rank windows of passages by one forward pass each, without writing the ranking down.

    Passages are named by letters, and the model is asked for the ranking ``[C] > [A] > ..``. The logits of
    the letters as the first token behind the opened bracket are the passages' scores: one token instead of
    some five for each passage. Windows slide over the candidates from their end to their beginning.

    Given judged queries, the model is trained: cross-entropy of the whole ranking, plus 10 times the weighted
    RankNet loss of the letters' logits, the mean over pairs of passages, i better than j, of
    ``log(1 + exp(s_j - s_i)) / (r_i + r_j)``, with their gold ranks r. Without, it is taken as it is: models
    that only learnt to write rankings can be used, and so can FIRST's own checkpoints.

    Parameters
    ----------
    window : passages of a window, 52 at most.
    answer : the scores are the logits of the "first-token"; or the ranking is "generated" by the same model.
    objective : of training: both losses ("combined"), the ranking's tokens alone ("generation") or the
        letters' logits alone ("ranking").
    loss : of the letters' logits: weighted "ranknet", or "listnet" (counting 0.1) or "lambdarank" (1).

    Raises
    ------
    InputError : if a field is out of range or does not fit the model, or what is given teaches nothing.

    Examples
    --------
    >>> from etude.search.collection import Document
    >>> reranker = First(model="nano-llama", window=4, stride=2, style="terse").fit()
    >>> documents = [Document("a", "about the sea"), Document("b", "about the cat")]
    >>> ranking = reranker.rank("what is the cat", documents)
    >>> sorted(ranking.order), ranking.generated, ranking.passes
    ([0, 1], 1, 1)

    References
    ----------
    Chen et al., "An Early FIRST Reproduction and Improvements to Single-Token Decoding for Fast Listwise
    Reranking", SIGIR 2025. arXiv:2411.05508. The method: Reddy et al., "FIRST: Faster Improved Listwise
    Reranking with Single Token Decoding", EMNLP 2024. arXiv:2406.15657.
    """

    window: Annotated[int, at.Interval(ge=1, le=52)] = 20
    answer: Answer = "first-token"
    objective: Literal["combined", "generation", "ranking"] = "combined"
    loss: Literal["ranknet", "listnet", "lambdarank"] = "ranknet"

    @property
    def course(self) -> Course:
        """How it is trained."""
        ranking: RankLoss = "none" if self.objective == "generation" else self.loss
        return replace(super().course, language=self.objective != "ranking", ranking=ranking)

    def listwise(self, causal: Causal) -> Listwise:
        """Passages are named by letters."""
        return Listwise(
            causal=causal,
            listing=Listing("letters", self.style),
            answer=self.answer,
            window=self.window,
            stride=self.stride,
            passage=self.passage,
        )
