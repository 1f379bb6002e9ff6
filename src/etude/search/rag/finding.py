"""Passages for questions: a retriever and a reranker by name, or what came with the questions."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from etude.data.questions import Question, QuestionSet
from etude.errors import InputError
from etude.search.collection import Document
from etude.search.named import named


class Finder:
    """Finds passages for questions, and puts them in a better order.

    Parameters
    ----------
    questions : whose documents are indexed.
    retriever : a method of the task ``retrieve``; "" for what came with each question.
    reranker : a method of the task ``rerank`` that has nothing to learn; "" for none.
    depth : passages a question.

    Raises
    ------
    InputError : if there is no such method, or it cannot do without having learnt.

    Examples
    --------
    >>> both = (Document("a", "Paris is in France."), Document("b", "Rome is in Italy."))
    >>> finder = Finder(QuestionSet((), both), "bm25", "", depth=1)
    >>> [document.id for document in finder.search("Where is Rome?")]
    ['b']
    """

    def __init__(self, questions: QuestionSet, retriever: str, reranker: str, depth: int) -> None:
        from etude.search import rerank, retrieve

        self.depth = depth
        self._reranker: Any = None
        if reranker:
            ranks = named(rerank, reranker, "reranker")()
            _check_untrained(ranks.fit, {"judged", "run"}, "reranker", reranker)
            given = {"corpus": questions.documents, "seed": 0}
            wanted = inspect.signature(ranks.fit).parameters
            self._reranker = ranks.fit(**{name: value for name, value in given.items() if name in wanted})
        self._index: Any = None
        if retriever:
            finds = named(retrieve, retriever, "retriever")()
            _check_untrained(finds.index, {"judged"}, "retriever", retriever)
            if questions.documents:
                self._index = finds.index(corpus=questions.documents)

    def found(self, asked: Sequence[Question]) -> list[list[Document]]:
        """Passages for each question, best first."""
        if self._index is None:
            first = [[*question.passages[: self.depth]] for question in asked]
        else:
            run = self._index.search({str(place): q.text for place, q in enumerate(asked)}, self.depth)
            first = [self._index.documents([*run[str(place)]]) for place in range(len(asked))]
        if self._reranker is None:
            return first
        rankings = self._reranker.rank_all([(q.text, found) for q, found in zip(asked, first, strict=True)])
        return [[found[i] for i in r.order] for found, r in zip(first, rankings, strict=True)]

    def search(self, words: str) -> list[Document]:
        """Passages for words that are no question of the set."""
        return self.found([Question("", words, ())])[0]


def _check_untrained(verb: Any, learnt_from: set[str], field: str, name: str) -> None:
    parameters = inspect.signature(verb).parameters
    if any(parameters[each].default is inspect.Parameter.empty for each in learnt_from & set(parameters)):
        raise InputError(field, f"{name} learns from judged queries, which questions with answers are not")
