"""What FIRST, RankGPT and full ranking share: a language model that ranks lists, as it is or trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import annotated_types as at

from etude.search.collection import Corpus, Document, Judged, Run
from etude.search.rerank.causal import Causal, restored
from etude.search.rerank.given import checked
from etude.search.rerank.listwise import Listwise
from etude.search.rerank.listwise_training import Course, Lesson, lessons_of, taught
from etude.search.rerank.prompts import Style
from etude.search.rerank.reranking import Reranker

Count = Annotated[int, at.Ge(1)]


@dataclass(frozen=True, kw_only=True)
class ListwiseMethod(ABC):
    """Rerank by a language model that is shown several passages at once; a method says how it is asked.

    Parameters
    ----------
    model : a causal language model, as for `etude.models.load`, or "topics", a small one for "topics-n".
    passage : tokens of a passage, at most; fewer where not all would fit the model's context.
    style : of the question: rank_llm's "instructions", or "terse", for small models trained here.
    epochs : of training, over the judged queries.
    rate : peak learning rate of AdamW, with a cosine to 0.
    warm_up : steps of linear warm-up.
    batch : queries of a step.
    noise : NEFTune's alpha, noise on the input embeddings in training; 0 for none.
    lora : rank of adapters (``peft``) that learn in the weights' place; 0 to train all weights.

    Raises
    ------
    InputError : if a field is out of range or does not fit the model, or what is given teaches nothing.
    """

    model: str = "smollm2"
    passage: Count = 300
    style: Style = "instructions"
    epochs: Annotated[int, at.Ge(0)] = 3
    rate: Annotated[float, at.Interval(gt=0)] = 5e-6
    warm_up: Annotated[int, at.Ge(0)] = 50
    batch: Count = 128
    noise: Annotated[float, at.Interval(ge=0)] = 5.0
    lora: Annotated[int, at.Ge(0)] = 0

    @abstractmethod
    def listwise(self, causal: Causal) -> Listwise:
        """How the model is asked."""

    @abstractmethod
    def lessons(self, judged: Judged, documents: dict[str, Document], run: Run, seed: int) -> list[Lesson]:
        """What is learnt from judged queries and what the first stage finds for them."""

    @property
    def course(self) -> Course:
        """How it is trained: by the cross-entropy of the ranking's tokens."""
        return Course(
            epochs=self.epochs,
            rate=self.rate,
            warm_up=self.warm_up,
            batch=self.batch,
            noise=self.noise,
            ranking="none",
            lora=self.lora,
        )

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
        lessons = self.lessons(judged, checked(corpus, judged, run), run or {}, seed)
        return Reranker(self, taught(engine, lessons, self.course, seed))

    def engine(self, folder: Path | None = None) -> Listwise:
        """See `etude.search.rerank.reranking.Method`."""
        causal, fingerprint = restored(self.model, folder)
        return replace(self.listwise(causal), fingerprint=fingerprint, learnt=folder is not None)


@dataclass(frozen=True, kw_only=True)
class WindowMethod(ListwiseMethod):
    """Windows of passages slide over the candidates, from their end to their beginning.

    Parameters
    ----------
    window : passages of a window; each judged query teaches one, of its first candidates.
    stride : how far windows move.
    """

    window: Count = 20
    stride: Count = 10

    def lessons(self, judged: Judged, documents: dict[str, Document], run: Run, seed: int) -> list[Lesson]:
        """The first candidates of each judged query, in random order, and their order by grade."""
        return lessons_of(judged, documents, run, self.window, seed)
