"""FIRST: a window is ranked by the logits of the answer's first token."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import annotated_types as at

from etude.method import method
from etude.search.collection import Corpus, Judged, Run
from etude.search.rerank.causal import restored
from etude.search.rerank.given import checked
from etude.search.rerank.listwise import Answer, Listwise
from etude.search.rerank.listwise_training import Course, lessons_of, taught
from etude.search.rerank.prompts import Listing, Style
from etude.search.rerank.reranking import Reranker

Count = Annotated[int, at.Ge(1)]


@method("first", task="rerank", paper="first", beside=("rankgpt",))
class First:
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
    model : a causal language model, as for `etude.models.load`, or "topics", a small one for "topics-n".
    window : passages of a window, 52 at most.
    stride : how far windows move.
    passage : tokens of a passage, at most; fewer where a window would not fit the model's context.
    style : of the question: rank_llm's "instructions", or "terse", for small models trained here.
    answer : the scores are the logits of the "first-token"; or the ranking is "generated" by the same model.
    objective : of training: both losses ("combined"), the ranking's tokens alone ("generation") or the
        letters' logits alone ("ranking").
    loss : of the letters' logits: weighted "ranknet", or "listnet" (counting 0.1) or "lambdarank" (1).
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

    model: str = "smollm2"
    window: Annotated[int, at.Interval(ge=1, le=52)] = 20
    stride: Count = 10
    passage: Count = 300
    style: Style = "instructions"
    answer: Answer = "first-token"
    objective: Literal["combined", "generation", "ranking"] = "combined"
    loss: Literal["ranknet", "listnet", "lambdarank"] = "ranknet"
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
        return Reranker(self, taught(engine, lessons, self.course, seed))

    @property
    def course(self) -> Course:
        """How it is trained."""
        return Course(
            epochs=self.epochs,
            rate=self.rate,
            warm_up=self.warm_up,
            batch=self.batch,
            noise=self.noise,
            language=self.objective != "ranking",
            ranking="none" if self.objective == "generation" else self.loss,
            lora=self.lora,
        )

    def engine(self, folder: Path | None = None) -> Listwise:
        """See `etude.search.rerank.reranking.Method`."""
        causal, fingerprint = restored(self.model, folder)
        return Listwise(
            causal=causal,
            listing=Listing("letters", self.style),
            answer=self.answer,
            window=self.window,
            stride=self.stride,
            passage=self.passage,
            fingerprint=fingerprint,
            learnt=folder is not None,
        )
