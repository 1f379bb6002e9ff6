"""The task of reranking: queries divided, candidates found once, the outcome judged and saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from etude.errors import InputError
from etude.search.rerank import First, FirstStage, MaxSim, load_reranker
from etude.search.rerank.checks import DOCUMENTS, QRELS, QUERIES
from etude.search.rerank.task import TASK, Inputs
from etude.search.rerank.topics import collection, pool_of, word
from etude.search.runs import read_run


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """The collection of the checks in BEIR's layout."""
    rows = [{"_id": each.id, "title": each.title, "text": each.text} for each in DOCUMENTS]
    (tmp_path / "corpus.jsonl").write_text("\n".join(map(json.dumps, rows)))
    texts = [{"_id": name, "text": text} for name, text in QUERIES.items()]
    (tmp_path / "queries.jsonl").write_text("\n".join(map(json.dumps, texts)))
    judged = [
        f"{query}\t{name}\t{grade}" for query, grades in QRELS.items() for name, grade in grades.items()
    ]
    (tmp_path / "qrels.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *judged]))
    return str(tmp_path)


def scored(method: Any, **inputs: Any) -> dict[str, float]:
    case = TASK.open(Inputs(**inputs))
    case.check(method)
    trial = case.trial(0)
    trial.apply(method)
    return dict(trial.score())


def test_the_first_stage_costs_nothing(folder: str) -> None:
    figures = scored(FirstStage(), data=folder)
    assert (figures["read"], figures["generated"], figures["passes"]) == (0, 0, 0)
    assert set(figures) <= {metric.name for metric in TASK.metrics}


def test_counts_are_those_of_a_query(folder: str) -> None:
    figures = scored(
        First(model="nano-llama", window=2, stride=1, style="terse", passage=8), data=folder, depth=3
    )
    assert figures["generated"] == figures["passes"]
    assert 0 < figures["passes"] <= 2


def test_shuffled_candidates_are_the_same_ones(folder: str) -> None:
    stays, moves = (
        scored(MaxSim(model="mini-bert"), data=folder, shuffled=shuffled) for shuffled in (False, True)
    )
    assert {n: stays[n] for n in ("ndcg", "rr")} == {n: moves[n] for n in ("ndcg", "rr")}
    assert (
        scored(FirstStage(), data="topics-8", queries=50, shuffled=True)["ndcg"]
        < (scored(FirstStage(), data="topics-8", queries=50)["ndcg"])
    )


def test_what_is_learnt_from_is_not_asked(folder: str) -> None:
    case = TASK.open(Inputs(data=folder, train=0.5, queries=1))
    train, test = case.divided(seed=3)
    assert train is not None
    assert not set(train.queries) & set(test.queries)
    assert (len(train.queries), len(test.queries)) == (2, 1)


def test_saved(folder: str, tmp_path: Path) -> None:
    trial = TASK.open(Inputs(data=folder)).trial(0)
    trial.apply(FirstStage())
    trial.score()
    trial.save(tmp_path / "out")
    assert load_reranker(tmp_path / "out").method == FirstStage()
    assert set(read_run(tmp_path / "out" / "run.trec")) == {query for query in trial.run if trial.run[query]}


def test_an_unknown_first_stage_is_refused(folder: str) -> None:
    with pytest.raises(InputError, match=r"^first: "):
        TASK.open(Inputs(data=folder, first="bm52"))


def test_the_made_up_collection_is_graded_by_topic() -> None:
    made = collection(pool=8, documents=40, queries=20)
    contents = {document.id: document.text for document in made.documents}
    for query, grades in made.qrels.items():
        topic = made.queries[query][0]
        assert len(grades) <= 8
        for name, grade in grades.items():
            assert grade == sum(each[0] == topic for each in contents[name].split()) // 2
    assert word(0, 1) == "a1"
    assert pool_of("topics") is None
