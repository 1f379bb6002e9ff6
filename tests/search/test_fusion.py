"""Fusion of runs, and of retrievers."""

from __future__ import annotations

import numpy as np
import pytest

from etude.errors import InputError
from etude.search.collection import Document
from etude.search.fusion import reciprocal_ranks, weighted
from etude.search.retrieve import BM25, ReciprocalRankFusion, WeightedFusion

FIRST = {"q1": {"a": 9.0, "b": 5.0, "c": 1.0}, "q2": {"a": 1.0}}
SECOND = {"q1": {"b": 0.9, "d": 0.4, "a": 0.1}, "q3": {"d": 0.0}}


def test_one_run_keeps_its_order() -> None:
    for fuse in (reciprocal_ranks, weighted):
        assert [*fuse([FIRST])["q1"]] == ["a", "b", "c"]


def test_the_order_of_runs_does_not_matter_for_scores() -> None:
    for fuse in (reciprocal_ranks, weighted):
        assert fuse([FIRST, SECOND]) == fuse([SECOND, FIRST])


def test_reciprocal_ranks_by_hand() -> None:
    found = reciprocal_ranks([FIRST, SECOND], weights=[2.0, 1.0])
    assert found["q1"] == pytest.approx(
        {"a": 2 / 61 + 1 / 63, "b": 2 / 62 + 1 / 61, "c": 2 / 63, "d": 1 / 62}
    )
    assert found["q2"] == {"a": 2 / 61} and found["q3"] == {"d": 1 / 61}
    assert [*reciprocal_ranks([FIRST, SECOND], constant=0)["q1"]] == ["b", "a", "d", "c"]


def test_weighted_by_hand() -> None:
    found = weighted([FIRST, SECOND], weights=[1.0, 0.5])
    assert found["q1"] == pytest.approx({"a": 1.0, "b": 0.5 + 0.5, "d": 0.5 * 0.375, "c": 0.0})
    assert found["q3"] == {"d": 0.0}


def test_what_cannot_be_fused_is_refused() -> None:
    with pytest.raises(InputError, match="weights: there are 1 for 2 runs"):
        weighted([FIRST, SECOND], [1.0])
    with pytest.raises(InputError, match="constant"):
        reciprocal_ranks([FIRST], constant=-1)
    assert reciprocal_ranks([]) == {}


@pytest.mark.parametrize("method", [ReciprocalRankFusion, WeightedFusion])
def test_fused_retrievers_are_their_fused_runs(method: type[ReciprocalRankFusion]) -> None:
    draw = np.random.default_rng(0)
    words = [f"w{number}" for number in range(30)]
    documents = [Document(f"d{n}", " ".join(draw.choice(words, 8))) for n in range(60)]
    queries = {f"q{n}": " ".join(draw.choice(words, 3)) for n in range(10)}
    run = BM25().index(documents).search(queries, k=1000)
    fuse = reciprocal_ranks if method is ReciprocalRankFusion else weighted
    expected = fuse([run, run], [1.0, 0.25])
    index = method(retrievers=("bm25", "bm25"), weights=(1.0, 0.25)).index(documents)
    for query, ranking in index.search(queries, k=1000).items():
        assert ranking == pytest.approx(expected[query], abs=1e-6)


def test_retrievers_that_cannot_be_fused_are_refused() -> None:
    documents = [Document("a", "wing")]
    for retrievers, weights, field in (
        ((), (), "retrievers"),
        (("bm26",), (), "retrievers"),
        (("bm25",), (1.0, 2.0), "weights"),
    ):
        with pytest.raises(InputError) as caught:
            ReciprocalRankFusion(retrievers=retrievers, weights=weights).index(documents)
        assert caught.value.field == field
