"""RankGPT: windows of passages are ranked by an answer that is written down."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import annotated_types as at

from etude.method import method
from etude.search.collection import Corpus, Judged, Run
from etude.search.rerank.causal import restored
from etude.search.rerank.given import checked
from etude.search.rerank.listwise import Listwise
from etude.search.rerank.listwise_training import Course, lessons_of, taught
from etude.search.rerank.prompts import Kind, Listing, Style
from etude.search.rerank.reranking import Reranker

Count = Annotated[int, at.Ge(1)]


@method("rankgpt", task="rerank")
class RankGPT:
    """Ask a language model for the ranking of a window of passages, and slide the window over the candidates.

    The answer ``[2] > [1] > ..`` is generated greedily and made a permutation: identifiers that come again or
    do not exist are dropped, missing ones follow as they stood. Given judged queries, the model is trained on
    the cross-entropy of the right answer, as RankZephyr was.

    Parameters
    ----------
    model : a causal language model, as for `etude.models.load`, or "topics", a small one for "topics-n".
    window : passages of a window.
    stride : how far windows move.
    passage : tokens of a passage, at most; fewer where a window would not fit the model's context.
    identifiers : of passages: "numbers" or "letters", of which there are 52.
    style : of the question: rank_llm's "instructions", or "terse", for small models trained here.
    epochs : of training, over the judged queries, each with one window of its first candidates.
    rate : peak learning rate of AdamW, with a cosine to 0.
    warm_up : steps of linear warm-up.
    batch : windows of a step.
    noise : NEFTune's alpha, noise on the input embeddings in training; 0 for none.
    lora : rank of adapters (``peft``) that learn in the weights' place; 0 to train all weights.

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

    model: str = "smollm2"
    window: Count = 20
    stride: Count = 10
    passage: Count = 300
    identifiers: Kind = "numbers"
    style: Style = "instructions"
    epochs: Annotated[int, at.Ge(0)] = 3
    rate: Annotated[float, at.Interval(gt=0)] = 5e-6
    warm_up: Annotated[int, at.Ge(0)] = 50
    batch: Count = 128
    noise: Annotated[float, at.Interval(ge=0)] = 5.0
    lora: Annotated[int, at.Ge(0)] = 0

    def fit(
        self,
        corpus: Corpus | None = None,
        judged: Judged | None = None,
        run: Run | None = None,
        seed: int = 0,
    ) -> Reranker:
        """Train on judged queries and what the first stage finds for them; without any, nothing is learnt."""
        engine = self.engine()
        if judged is None or not self.epochs:
            return Reranker(self, engine)
        documents = checked(corpus, judged, run)
        lessons = lessons_of(judged, documents, run or {}, self.window, seed)
        course = Course(
            epochs=self.epochs,
            rate=self.rate,
            warm_up=self.warm_up,
            batch=self.batch,
            noise=self.noise,
            ranking="none",
            lora=self.lora,
        )
        return Reranker(self, taught(engine, lessons, course, seed))

    def engine(self, folder: Path | None = None) -> Listwise:
        """See `etude.search.rerank.reranking.Method`."""
        causal, fingerprint = restored(self.model, folder)
        return Listwise(
            causal=causal,
            listing=Listing(self.identifiers, self.style),
            answer="generated",
            window=self.window,
            stride=self.stride,
            passage=self.passage,
            fingerprint=fingerprint,
            learnt=folder is not None,
        )
