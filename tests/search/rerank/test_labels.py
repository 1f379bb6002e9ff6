"""Complete labels: exact with a teacher that is right, kept with one that is a model."""

from __future__ import annotations

from pathlib import Path

import pytest

from etude.search.collection import Judged
from etude.search.rerank import FullRanking, RankGPT
from etude.search.rerank.checks import DOCUMENTS, QRELS, QUERIES, RUN, tiny_decoder
from etude.search.rerank.labels import judging, labels, sorted_by


def test_a_right_teacher_gives_the_right_order() -> None:
    grades = [[*range(37)], [3, 1, 2]]
    found = sorted_by(judging(grades, 0.0, 0), [37, 3], "complete", 8, 4)
    assert found == [[*reversed(range(37))], [0, 2, 1]]
    (once, _) = sorted_by(judging(grades, 0.0, 0), [37, 3], "single-pass", 8, 4)
    assert once[:4] == [36, 35, 34, 33]
    assert once != found[0]


def test_an_erring_teacher_is_a_permutation_and_errs_alike_under_a_seed() -> None:
    once, again, other = (
        sorted_by(judging([[*range(20)]], 0.3, seed), [20], "complete", 8, 4) for seed in (0, 0, 1)
    )
    assert once == again != other
    assert sorted(once[0]) == list(range(20))


def test_labels_are_asked_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = RankGPT(model=tiny_decoder(), window=4, stride=2).engine()
    documents = {document.id: document for document in DOCUMENTS}
    given = (teacher, QUERIES, documents, RUN, "complete", tmp_path)
    found = labels(*given)  # type: ignore[arg-type]
    assert all(sorted(found[query]) == sorted(RUN[query]) for query in QUERIES)
    monkeypatch.setattr(type(teacher), "sorted", None)
    assert labels(*given) == found  # type: ignore[arg-type]
    assert len([*tmp_path.iterdir()]) == 1


def test_lessons_of_judgements_and_of_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ETUDE_CACHE", str(tmp_path))
    documents = {document.id: document for document in DOCUMENTS}
    judged = Judged({"q1": QUERIES["q1"]}, {"q1": QRELS["q1"]})
    exact = FullRanking(model=tiny_decoder(), teacher_window=4, teacher_stride=2)
    (lesson,) = exact.lessons(judged, documents, RUN, seed=0)
    assert [each.id for each in lesson.documents] == [*RUN["q1"]]
    assert [lesson.documents[place].id for place in lesson.order][:2] == ["wing", "tail"]
    asked = FullRanking(model=tiny_decoder(), teacher=tiny_decoder(), teacher_window=4, teacher_stride=2)
    (lesson,) = asked.lessons(judged, documents, RUN, seed=0)
    assert sorted(lesson.order) == list(range(len(DOCUMENTS)))
