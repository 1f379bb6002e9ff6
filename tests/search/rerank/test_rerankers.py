"""Every reranker of the catalogue: nothing lost, nothing doubled, stable, and honest about what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from etude import catalog
from etude.errors import InputError
from etude.method import takes
from etude.search.collection import Document
from etude.search.rerank import FirstStage, Ranking, Reranker, load_reranker, rerank
from etude.search.rerank.checks import CHECKS, DOCUMENTS
from etude.search.rerank.reranking import MANIFEST, Asked
from etude.testing import checks_settings

METHODS = {name: cls for name, cls in catalog.methods().items() if cls.task == "rerank"}
LEARNS = {name for name, cls in METHODS.items() if "epochs" in cls.__dataclass_fields__}


def fitted(cls: type[Any]) -> Reranker:
    """A reranker that has learnt nothing where that can be."""
    method = cls(**{**checks_settings(CHECKS, cls), **({"epochs": 0} if cls.name in LEARNS else {})})
    given = CHECKS.examples()[0].make()
    reranker: Reranker = method.fit(**{k: v for k, v in given.items() if k in takes(method.fit)})
    return reranker


@pytest.mark.parametrize("cls", METHODS.values(), ids=METHODS.keys())
def test_permutations_and_counts(cls: type[Any]) -> None:
    reranker = fitted(cls)
    assert reranker.rank("what lifts a wing", []) == Ranking([])
    for count in (1, 2, 5, 9):
        documents = [Document(f"d{place}", f"text {place} of a wing {'x' * place}") for place in range(count)]
        ranking = reranker.rank("what lifts a wing", documents)
        assert sorted(ranking.order) == list(range(count))
        assert min(ranking.read, ranking.generated, ranking.passes) >= 0
        assert ranking.passes > 0 or ranking.read == ranking.generated == 0


@pytest.mark.parametrize("cls", METHODS.values(), ids=METHODS.keys())
def test_the_same_text_twice_stays_as_it_stood(cls: type[Any]) -> None:
    if cls.name in {"first", "rankgpt", "full-ranking", "first-stage"}:
        pytest.skip("its scores are places of a list")
    ranking = fitted(cls).rank("a wing", [Document(f"d{place}", DOCUMENTS[0].text) for place in range(4)])
    assert ranking.order == [0, 1, 2, 3]


class Given:
    """Gives scores that were given."""

    name = "given"
    fingerprint = ""

    def __init__(self, scores: Sequence[float]) -> None:
        self.scores = scores

    def rank(self, asked: Sequence[Asked]) -> list[Ranking]:
        return [
            Ranking(self.scores[: len(documents)], read=len(documents), passes=1) for _, documents in asked
        ]

    def save(self, folder: Path) -> None:
        """Nothing has been learnt."""


def reranked(scores: Sequence[float], names: str, depth: int = 100) -> Mapping[str, float]:
    documents = {name: Document(name, "text") for name in names}
    run = {"q": {name: -float(place) for place, name in enumerate(names)}}
    return rerank(Reranker(Given, Given(scores)), {"q": "what"}, documents, run, depth)[0]["q"]


def test_equals_stay_as_they_stood() -> None:
    assert [*reranked([1.0, 2.0, 1.0, 2.0], "badc")] == ["a", "c", "b", "d"]


def test_what_lies_deeper_follows() -> None:
    found = reranked([1.0, 3.0], "abcd", depth=2)
    assert found == {"b": 3.0, "a": 1.0, "c": 0.0, "d": -1.0}
    assert [*reranked([], "abcd", depth=0)] == [*"abcd"]


@pytest.mark.parametrize("scores", [[1.0], [float("nan"), 1.0], [float("inf"), 1.0]])
def test_an_engine_that_does_not_keep_its_promise_is_not_believed(scores: list[float]) -> None:
    with pytest.raises(RuntimeError, match="given"):
        reranked(scores, "ab")


def test_bad_input() -> None:
    reranker = FirstStage().fit()
    document = Document("a", "text")
    for query, documents, field in [
        (3, [document], "query"),
        ("q", "text", "documents"),
        ("q", ["text"], "documents"),
        ("q", None, "documents"),
    ]:
        with pytest.raises(InputError) as caught:
            reranker.rank(query, documents)  # type: ignore[arg-type]
        assert caught.value.field == field
    run = {"q": {"a": 1.0}}
    for given, field in [
        (({}, {"a": document}, run, 10), "queries"),
        (({"q": "what"}, {}, run, 10), "documents"),
        (({"q": "what"}, {"a": document}, run, -1), "depth"),
    ]:
        with pytest.raises(InputError) as caught:
            rerank(reranker, *given)  # type: ignore[arg-type]
        assert caught.value.field == field


def test_what_is_no_reranker_is_not_loaded(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="reranker"):
        load_reranker(tmp_path)
    FirstStage().fit().save(tmp_path / "good")
    text = (tmp_path / "good" / MANIFEST).read_text()
    for number, bad in enumerate(["", "[]", "{}", text.replace('"version": 1', '"version": 9')]):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / MANIFEST).write_text(bad)
        with pytest.raises(InputError, match="reranker"):
            load_reranker(folder)
    with pytest.raises(InputError, match="not empty"):
        FirstStage().fit().save(tmp_path / "good")
