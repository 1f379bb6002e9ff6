"""Full ranking: all candidates in one prompt, their ranking in one answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import annotated_types as at

from etude.errors import InputError
from etude.files import cache_folder
from etude.method import method
from etude.search.collection import Document, Judged, Run
from etude.search.rerank.causal import Causal, restored
from etude.search.rerank.labels import Passes, judging, labels, sorted_by
from etude.search.rerank.listwise import Listwise
from etude.search.rerank.listwise_method import Count, ListwiseMethod
from etude.search.rerank.listwise_training import Course, Lesson
from etude.search.rerank.prompts import Listing

JUDGEMENTS = "judgements"


@method("full-ranking", task="rerank", paper="fullrank", beside=("rankgpt",))
class FullRanking(ListwiseMethod):
    """Rank all candidates by one answer of a model with a long context, instead of sliding windows.

    Given queries to learn from, the model is trained on complete rankings. A teacher that can only rank
    windows makes them by several passes: each settles the first ``teacher_window - teacher_stride`` of what
    is still open. The loss is the cross-entropy of the ranking ``[5] > [2] > ..``, in which the tokens of the
    identifier at rank r count ``1 + 1 / log2(r + 1)`` and separators 1, by the number of tokens. The end of
    the answer is learnt too, counting 1; the authors' code leaves it out.

    Parameters
    ----------
    weighted : whether identifiers count by their rank in training.
    passes : of the teacher's windows: "complete", or a "single-pass", right only for the first.
    teacher : a causal language model; or "judgements", which rank by grade, and within one as the first
        stage does.
    teacher_window : passages that the teacher ranks at once.
    teacher_stride : how far its windows move.
    swaps : how likely a teacher of judgements swaps two neighbours in a window, to try out what errors do.
    candidates : of a query to learn from, at most.

    Raises
    ------
    InputError : if a field is out of range or does not fit the model, or what is given teaches nothing.

    Examples
    --------
    >>> reranker = FullRanking(model="nano-llama", style="terse").fit()
    >>> documents = [Document("a", "about the sea"), Document("b", "about the cat")]
    >>> ranking = reranker.rank("what is the cat", documents)
    >>> sorted(ranking.order), ranking.passes
    ([0, 1], 1)

    References
    ----------
    Liu et al., "Sliding Windows Are Not the End: Exploring Full Ranking with Long-Context Large Language
    Models", ACL 2025. arXiv:2412.14574.
    """

    passage: Count = 100
    weighted: bool = True
    passes: Passes = "complete"
    teacher: str = JUDGEMENTS
    teacher_window: Annotated[int, at.Ge(2)] = 20
    teacher_stride: Count = 10
    swaps: Annotated[float, at.Interval(ge=0, le=1)] = 0.0
    candidates: Count = 100
    epochs: Annotated[int, at.Ge(0)] = 4
    batch: Count = 32

    def __post_init__(self) -> None:
        if self.teacher_stride >= self.teacher_window:
            raise InputError(
                "teacher_stride", f"{self.teacher_stride} is not less than the window, {self.teacher_window}"
            )

    @property
    def course(self) -> Course:
        """How it is trained."""
        return replace(super().course, weighted=self.weighted)

    def lessons(self, judged: Judged, documents: dict[str, Document], run: Run, seed: int) -> list[Lesson]:
        """The first candidates of every query as the run has them, and their order by the teacher.

        Raises
        ------
        InputError : naming ``run`` if no query has two candidates.
        """
        names = {query: [*run[query]][: self.candidates] for query in judged.queries}
        names = {query: found for query, found in names.items() if len(found) > 1}
        if not names:
            raise InputError("run", "has no query with two candidates")
        if self.teacher == JUDGEMENTS:
            grades = [[max(0, judged.qrels[q].get(d, 0)) for d in names[q]] for q in names]
            sort, sizes = judging(grades, self.swaps, seed), [*map(len, names.values())]
            orders = sorted_by(sort, sizes, self.passes, self.teacher_window, self.teacher_stride)
        else:
            shown = {query: dict.fromkeys(found, 0.0) for query, found in names.items()}
            found = labels(
                self._teacher(), judged.queries, documents, shown, self.passes, cache_folder("rankings")
            )
            orders = [[names[query].index(name) for name in found[query]] for query in names]
        return [
            Lesson(judged.queries[query], [documents[name] for name in names[query]], order)
            for query, order in zip(names, orders, strict=True)
        ]

    def _teacher(self) -> Listwise:
        causal, fingerprint = restored(self.teacher, None)
        return Listwise(
            causal=causal,
            listing=Listing("numbers", self.style),
            answer="generated",
            window=self.teacher_window,
            stride=self.teacher_stride,
            passage=self.passage,
            fingerprint=fingerprint,
        )

    def listwise(self, causal: Causal) -> Listwise:
        """All candidates at once, by numbers; the ranking is written down."""
        return Listwise(
            causal=causal,
            listing=Listing("numbers", self.style),
            answer="generated",
            window=None,
            stride=1,
            passage=self.passage,
        )
