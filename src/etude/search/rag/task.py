"""Retrieval-augmented generation: questions in, answers out, judged by what is accepted as an answer."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import annotated_types as at

from etude.errors import InputError
from etude.method import check_fields, takes
from etude.task import Metric

if TYPE_CHECKING:
    from etude.data.questions import Question, QuestionSet
    from etude.search.collection import Document
    from etude.search.generator import Generator
    from etude.search.rag.answering import Answer
    from etude.search.rag.finding import Finder

TOP = (1, 5, 20)
"""Where top-k accuracy is measured."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What is asked, and what answers.

    Parameters
    ----------
    data : a named set of questions (xquad, nq_open, triviaqa_open), or a file in the format of DPR and
        Rankify: ``question``, ``answers``, perhaps ``ctxs``; or "cloze", sentences of novels with a word left
        out.
    texts : table of passages (id, text, title) for contexts that have identifiers only; "" for none.
    model : that writes the answers: a built-in one, a folder or a GGUF file; or "reader", a small T5
        that is taught here to look words up.
    retriever : that finds passages among those of the set; "" for those that came with the questions.
    reranker : that puts what was found in another order, one that has nothing to learn; "" for none.
    depth : how many passages are found, and reranked.
    passages : how many of them a method gets.
    questions : how many are asked, drawn anew for each seed; 0 for all.

    Raises
    ------
    InputError : if a field has the wrong type or is out of range.
    """

    data: str = "xquad"
    texts: str = ""
    model: str = "smollm2"
    retriever: str = "bm25"
    reranker: str = ""
    depth: Annotated[int, at.Ge(1)] = 20
    passages: Annotated[int, at.Ge(1)] = 3
    questions: Annotated[int, at.Ge(0)] = 50

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Rag:
    """The task: methods answer to ``answer(generator, questions, passages, search)``, or less of it."""

    name: str = "rag"
    title: str = "retrieval-augmented generation"
    inputs: type[Inputs] = Inputs
    metrics: tuple[Metric, ...] = (
        Metric("f1", "F1", "higher", digits=3, axis="quality"),
        Metric("exact", "exact match", "higher", digits=3),
        Metric("contains", "contains", "higher", digits=3),
        Metric("precision", "precision", "higher", digits=3),
        Metric("recall", "recall", "higher", digits=3),
        *(Metric(f"top_{k}", f"top-{k}", "higher", digits=3) for k in TOP),
        Metric("read", "tokens read", "lower", digits=0, axis="cost"),
        Metric("generated", "tokens written", "lower", digits=1),
    )
    baselines: tuple[str, ...] = ("zero-shot",)

    def open(self, inputs: Inputs) -> RagCase:
        """Load the model and the questions, and find the retriever and the reranker."""
        case = RagCase(inputs)
        _ = case.finder, case.generator
        return case


class RagCase:
    """A model and questions, loaded and checked; passages are found once for all methods."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs

    @cached_property
    def fingerprints(self) -> Mapping[str, str]:
        """Identify the model and the questions."""
        import hashlib

        from etude.models.fingerprint import fingerprint

        questions = hashlib.sha256("\n".join(map(repr, self.set.questions)).encode())
        questions.update("\n".join(map(repr, self.set.documents)).encode())
        return {"model": fingerprint(self._place), "data": questions.hexdigest()}

    @cached_property
    def set(self) -> QuestionSet:
        """All questions, and the passages to be searched."""
        from etude.data.questions import load_questions
        from etude.search.rag import cloze

        if self.inputs.data == cloze.NAME:
            return cloze.questions()
        return load_questions(self.inputs.data, self.inputs.texts or None)

    @cached_property
    def generator(self) -> Generator:
        """The language model."""
        from etude.models.loading import load
        from etude.search.generator import Generator

        return Generator(*load(self._place))

    @cached_property
    def _place(self) -> str | Path:
        """Where the model lies: as it was named, but for the reader, which is taught first."""
        from etude.search.rag.reader import NAME, reader

        return reader() if self.inputs.model == NAME else self.inputs.model

    @cached_property
    def finder(self) -> Finder:
        """Retriever and reranker, the passages indexed."""
        from etude.search.rag.finding import Finder

        inputs = self.inputs
        return Finder(self.set, inputs.retriever, inputs.reranker, inputs.depth)

    def asked(self, seed: int) -> list[Question]:
        """The questions under a seed."""
        every = self.set.questions
        count = self.inputs.questions or len(every)
        if count > len(every):
            raise InputError("questions", f"{count} are more than the {len(every)} of {self.inputs.data}")
        return random.Random(seed).sample(every, count) if count < len(every) else [*every]

    def check(self, method: Any) -> None:
        """Passages are needed by all but those that take none; another search, or an encoder, by some."""
        wanted = takes(method.answer)
        found = bool(self.inputs.retriever) and bool(self.set.documents)
        if "search" in wanted and not found:
            raise InputError(
                "retriever", f"{method.name} searches by itself: name one, and a set with passages"
            )
        if "passages" in wanted and not found and not any(q.passages for q in self.set.questions):
            raise InputError("data", f"{self.inputs.data} has no passages, which {method.name} needs")
        if getattr(method, "encodes", False) and not self.generator.encodes:
            raise InputError(
                "model",
                f"{self.inputs.model} has no encoder, which {method.name} needs: name the folder of a T5",
            )
        self.asked(seed=0)

    def trial(self, seed: int) -> RagTrial:
        """Questions of its own."""
        asked = self.asked(seed)
        return RagTrial(self, asked, self.finder.found(asked))


class RagTrial:
    """One method on some questions, and what was found for them."""

    def __init__(self, case: RagCase, asked: Sequence[Question], found: Sequence[Sequence[Document]]) -> None:
        self.case, self.asked, self.found = case, asked, found
        self.answers: list[Answer] = []

    def apply(self, method: Any) -> None:
        """Answer the questions, with as much as the method takes."""
        most = self.case.inputs.passages
        given = {
            "generator": self.case.generator,
            "questions": [question.text for question in self.asked],
            "passages": [found[:most] for found in self.found],
            "search": self.case.finder.search,
        }
        wanted = takes(method.answer)
        self.answers = method.answer(**{name: value for name, value in given.items() if name in wanted})

    def score(self) -> Mapping[str, float]:
        """Means over the questions."""
        from etude.search.rag.quality import first_with_answer, quality, top_k

        judged = [quality(a.text, q.answers) for a, q in zip(self.answers, self.asked, strict=True)]
        count = len(judged)
        names = ("exact", "f1", "precision", "recall", "contains")
        figures = {name: sum(getattr(each, name) for each in judged) / count for name in names}
        for name in ("read", "generated"):
            figures[name] = sum(getattr(answer, name) for answer in self.answers) / count
        if any(self.found):
            ranks = [first_with_answer(f, q.answers) for f, q in zip(self.found, self.asked, strict=True)]
            figures |= {f"top_{k}": top_k(ranks, k) for k in TOP if k <= self.case.inputs.depth}
        return figures

    def save(self, folder: Path) -> None:
        """Write the answers, and the questions with what was found, which `load_questions` reads."""
        from dataclasses import replace

        from etude.data.questions import write_questions
        from etude.search.rag.answering import save_answers
        from etude.search.rag.quality import has_answer

        save_answers(self.answers, folder / "answers.jsonl")
        asked = [replace(q, passages=tuple(found)) for q, found in zip(self.asked, self.found, strict=True)]
        scores = [[float(rank) for rank in range(len(found), 0, -1)] for found in self.found]
        held = [[has_answer(passage.text, q.answers) for passage in q.passages] for q in asked]
        write_questions(folder / "questions.json", asked, scores, held)


TASK = Rag()
