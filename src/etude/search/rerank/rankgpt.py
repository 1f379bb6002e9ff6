"""RankGPT: windows of passages are ranked by an answer that is written down."""

from __future__ import annotations

from etude.method import method
from etude.search.rerank.causal import Causal
from etude.search.rerank.listwise import Listwise
from etude.search.rerank.listwise_method import WindowMethod
from etude.search.rerank.prompts import Kind, Listing


@method("rankgpt", task="rerank")
class RankGPT(WindowMethod):
    """Ask a language model for the ranking of a window of passages, and slide the window over the candidates.

    The answer ``[2] > [1] > ..`` is generated greedily and made a permutation: identifiers that come again or
    do not exist are dropped, missing ones follow as they stood. Given judged queries, the model is trained on
    the cross-entropy of the right answer, as RankZephyr was.

    Parameters
    ----------
    identifiers : of passages: "numbers" or "letters", of which there are 52.

    Raises
    ------
    InputError : if a field is out of range or does not fit the model, or what is given teaches nothing.

    Examples
    --------
    >>> from etude.search.collection import Document
    >>> reranker = RankGPT(model="nano-llama", window=4, stride=2, style="terse").fit()
    >>> documents = [Document("a", "about the sea"), Document("b", "about the cat")]
    >>> sorted(reranker.rank("what is the cat", documents).order)
    [0, 1]

    References
    ----------
    Sun et al., "Is ChatGPT Good at Search? Investigating Large Language Models as Re-Ranking Agents", EMNLP
    2023. arXiv:2304.09542. Training as in Pradeep et al., "RankZephyr", 2023. arXiv:2312.02724.
    """

    identifiers: Kind = "numbers"

    def listwise(self, causal: Causal) -> Listwise:
        """The ranking is written down."""
        return Listwise(
            causal=causal,
            listing=Listing(self.identifiers, self.style),
            answer="generated",
            window=self.window,
            stride=self.stride,
            passage=self.passage,
        )
