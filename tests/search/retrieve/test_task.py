"""The task of retrieval through the engine: run, compare, artifacts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import etude
from etude.engine.store import Store
from etude.errors import InputError
from etude.search.retrieve import BM25, open_index
from etude.search.runs import read_run

needs_data = pytest.mark.skipif("ETUDE_DATA" not in os.environ, reason="needs $ETUDE_DATA")


@needs_data
def test_a_run_leaves_an_index_and_what_it_found(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "runs.db"))
    record = etude.run("bm25", data="adi", store=store, out=tmp_path / "out")
    assert record.metrics["ndcg"] == pytest.approx(0.4938, abs=6e-5)
    assert record.metrics["index_mb"] == pytest.approx(open_index(tmp_path / "out").bytes / 1e6)
    assert 0 < record.metrics["p50_ms"] <= record.metrics["p95_ms"]
    assert len(read_run(tmp_path / "out" / "run.trec")) == 35


@needs_data
def test_settings_are_compared_on_the_same_held_out_queries(tmp_path: Path) -> None:
    found = etude.compare(
        ["bm25"],
        settings={"k1": [0.9, 1.5]},
        data="adi",
        train=0.5,
        seeds=2,
        store=Store(str(tmp_path / "runs.db")),
        jobs=1,
        keep="none",
    )
    rows = found.rows()
    assert len(rows) == 2 and len(found.records) == 4
    assert rows[0].figures["ndcg"].mean != rows[1].figures["ndcg"].mean


def test_what_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "runs.db"))
    for inputs, field in (
        ({"data": str(tmp_path / "none")}, "data"),
        ({"data": "adi", "train": 1.0}, "train"),
        ({"data": "adi", "k": 0}, "k"),
    ):
        with pytest.raises(InputError) as caught:
            etude.run(BM25(), store=store, **inputs)
        assert caught.value.field == field
