"""Measures, runs as files, the division of queries, latencies."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from etude.errors import InputError
from etude.search.collection import Judged
from etude.search.division import divided
from etude.search.latency import timed
from etude.search.measures import MEASURES, by_query, measure
from etude.search.runs import ranked, read_run, write_run

QRELS = {"q1": {"a": 3, "b": 1, "c": 0}, "q2": {"z": 1}}
RUN = {"q1": {"c": 0.9, "b": 0.5, "x": 0.5, "a": 0.5}, "q3": {"a": 1.0}}


def test_ndcg_by_hand() -> None:
    gained = 1 / math.log2(3) + 3 / math.log2(5)
    ideal = 3 + 1 / math.log2(3)
    assert by_query(RUN, QRELS, ["nDCG@10"])["nDCG@10"] == pytest.approx({"q1": gained / ideal, "q2": 0.0})
    assert measure(RUN, QRELS, ["nDCG@10"])["nDCG@10"] == pytest.approx(gained / ideal / 2)


def test_equal_scores_count_as_they_stand_in_the_run() -> None:
    assert by_query({"q2": {"a": 1.0, "z": 1.0}}, QRELS, ["RR"])["RR"]["q2"] == 0.5
    assert by_query({"q2": {"z": 1.0, "a": 1.0}}, QRELS, ["RR"])["RR"]["q2"] == 1.0


def test_a_query_without_results_counts_nothing() -> None:
    assert measure({}, QRELS) == dict.fromkeys(MEASURES, 0.0)


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(InputError, match="qrels"):
        measure(RUN, {})
    for name in ("nonsense", "nDCG@@", "import os"):
        with pytest.raises(InputError, match="measures"):
            measure(RUN, QRELS, [name])


def test_a_run_measures_the_same_from_its_file(tmp_path: Path) -> None:
    write_run(tmp_path / "run.trec", RUN)
    read = read_run(tmp_path / "run.trec")
    assert {query: [*ranking] for query, ranking in read.items()} == {q: [*r] for q, r in RUN.items()}
    assert measure(read, QRELS) == measure(RUN, QRELS)


@pytest.mark.parametrize("line", ["q1 Q0 a 1 high t", "q1 a 1", "q1 Q0 a 1 nan t", "q1 Q0 b 1 0.5 t"])
def test_a_malformed_run_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "run.trec"
    path.write_text(f"q1 Q0 b 1 1.0 t\n{line}\n")
    with pytest.raises(InputError, match=r"run\.trec, line 2"):
        read_run(path)


def test_ranked_is_stable() -> None:
    assert [*ranked(["a", "b", "c", "d"], [1, 2, 2, 1])] == ["b", "c", "a", "d"]


@pytest.mark.parametrize("share", [0.01, 0.3, 0.99])
def test_queries_are_divided(share: float) -> None:
    judged = Judged({str(n): "text" for n in range(20)}, {str(n): {"a": 1} for n in range(20)})
    train, test = divided(judged, share, seed=1)
    assert len(train.queries) == min(max(1, round(20 * share)), 19)
    assert sorted(train.queries | test.queries, key=int) == [*judged.queries]
    assert not train.queries.keys() & test.queries.keys()
    assert train.queries.keys() == train.qrels.keys()
    assert divided(judged, share, seed=1) == (train, test)
    assert share < 0.1 or divided(judged, 0.5, seed=2) != divided(judged, 0.5, seed=1)


def test_latencies() -> None:
    run, times = timed(lambda one: {query: {"a": 1.0} for query in one}, {"q": "text"})
    assert run == {"q": {"a": 1.0}} and 0 <= times["p50_ms"] == times["p95_ms"]
