"""What a reranker of long documents is taught: relevant documents, and others that a first stage found."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from etude.errors import InputError
from etude.search.collection import Document, Judged

if TYPE_CHECKING:
    from etude.search.rerank.idcm import IDCM
    from etude.search.rerank.idcm_reading import Reader


@dataclass(frozen=True)
class Lesson:
    """A query, its tokens, and documents that are relevant to it and that are not."""

    text: str
    query: Tensor
    better: tuple[str, ...]
    worse: tuple[str, ...]


@dataclass(frozen=True)
class Triple:
    """A query's tokens, a document that is relevant to it, and one that is not."""

    query: Tensor
    better: str
    worse: str


@dataclass(frozen=True)
class Course:
    """What is taught.

    Parameters
    ----------
    documents, tokens : by identifier.
    lessons : for pairs of passages.
    whole : those of them whose documents are read as a whole.
    kept_back : others, to stop in time.
    """

    documents: Mapping[str, Document]
    tokens: Mapping[str, list[int]]
    lessons: Sequence[Lesson]
    whole: Sequence[Lesson]
    kept_back: Sequence[Lesson]

    @property
    def pairs(self) -> list[tuple[Lesson, str]]:
        """Every lesson of whole documents with each of these."""
        return [(lesson, d) for lesson in self.whole for d in (*lesson.better, *lesson.worse)]

    @staticmethod
    def triples(lessons: Sequence[Lesson], seed: int) -> list[Triple]:
        """One for each lesson, in random order."""
        draw = torch.Generator().manual_seed(seed)

        def pick(among: Sequence[str]) -> str:
            return among[int(torch.randint(len(among), (1,), generator=draw))]

        order = torch.randperm(len(lessons), generator=draw).tolist()
        return [
            Triple(lesson.query, pick(lesson.better), pick(lesson.worse))
            for lesson in (lessons[i] for i in order)
        ]


def course(
    method: IDCM, reader: Reader, documents: Mapping[str, Document], judged: Judged, run: Any, seed: int
) -> Course:
    """Judged queries as lessons; those without a relevant document or without another are left out.

    Raises
    ------
    InputError : naming ``judged``, if no lesson is left.
    """
    lessons = []
    for query, text in judged.queries.items():
        grades = judged.qrels[query]
        better = tuple(document for document, grade in grades.items() if grade > 0)
        worse = dict.fromkeys([*run[query], *grades])
        others = tuple(document for document in worse if grades.get(document, 0) <= 0)
        if better and others:
            lessons.append(Lesson(text, reader.asked(text), better, others[: method.negatives]))
    if not lessons:
        raise InputError("judged", "no query has a relevant document and one that is not")
    back = math.ceil(method.held_out * (len(lessons) - 1)) if method.patience else 0
    order = torch.randperm(len(lessons), generator=torch.Generator().manual_seed(seed)).tolist()
    used = [*dict.fromkeys(d for lesson in lessons for d in (*lesson.better, *lesson.worse))]
    tokens = dict(zip(used, reader.told([documents[d].content for d in used]), strict=True))
    shuffled = [lessons[i] for i in order]
    kept = shuffled[back:]
    return Course(documents, tokens, kept, kept[: method.whole], shuffled[:back])


def checked(corpus: Any, judged: Any, run: Any) -> dict[str, Document]:
    """The documents by identifier, if they, the judged queries and the run of these fit together.

    Raises
    ------
    InputError : naming ``corpus``, ``judged`` or ``run``.
    """
    try:
        listed = list(corpus)
    except TypeError:
        raise InputError("corpus", f"{corpus!r:.60} holds no documents") from None
    if not listed or not all(isinstance(document, Document) for document in listed):
        raise InputError("corpus", "holds nothing, or something else than documents")
    documents = {document.id: document for document in listed}
    if len(documents) < len(listed):
        raise InputError("corpus", "holds two documents of one identifier")
    if not isinstance(judged, Judged) or not judged.queries:
        raise InputError("judged", "are no queries with judgements")
    for query in judged.queries:
        _check_known("judged", query, judged.qrels.get(query), documents)
    if not any(grade > 0 for query in judged.queries for grade in judged.qrels[query].values()):
        raise InputError("judged", "hold no relevant document")
    for query in judged.queries:
        _check_known("run", query, run.get(query) if isinstance(run, Mapping) else None, documents)
    return documents


def _check_known(field: str, query: str, found: Any, documents: Mapping[str, Document]) -> None:
    if not found:
        raise InputError(field, f"has nothing for the query {query!r}")
    if unknown := next((document for document in found if document not in documents), None):
        raise InputError(field, f"names {unknown!r}, which is not in the corpus")
