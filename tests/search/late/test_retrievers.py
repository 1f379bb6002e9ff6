"""XTR and ColBERT as retrievers: trained, saved, added to, deleted from, filtered, explained."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import pytest
import torch

from etude import InputError
from etude.search.collection import Document
from etude.search.late.explaining import explain
from etude.search.late.scoring import maxsim
from etude.search.retrieve import BM25, XTR, ColBERT, open_index
from etude.search.retrieve.checks import DOCUMENTS, QUERIES, _judged
from etude.testing import check_method

NANO: dict[str, Any] = {"encoder": "nano-bert"}
TRAINED: dict[str, Any] = NANO | {"steps": 3, "width": 16, "batch": 4}


@pytest.mark.parametrize("method", [XTR, ColBERT])
@pytest.mark.parametrize("fields", [TRAINED | {"bits": 8}, NANO | {"steps": 2, "trained": "all", "bits": 32}])
def test_trained_ones_pass_the_common_checks(method: Any, fields: dict[str, Any]) -> None:
    check_method(method, **fields)


@pytest.mark.parametrize("method", [XTR(**NANO, bits=32, probes=0), ColBERT(**NANO, bits=32, probes=0)])
def test_with_everything_retrieved_scores_are_exact(method: Any) -> None:
    index = method.index(DOCUMENTS)
    encoder = index.engine.encoder
    exact = maxsim(
        encoder.encode([*QUERIES.values()], "query"),
        encoder.encode([document.content for document in DOCUMENTS], "document"),
    )
    run = index.search(QUERIES)
    for row, name in enumerate(QUERIES):
        expected = {document.id: float(exact[row, i]) for i, document in enumerate(DOCUMENTS)}
        assert run[name] == pytest.approx(expected, abs=1e-6)


def test_a_trained_encoder_is_kept_with_its_index(tmp_path: Path) -> None:
    index = XTR(**TRAINED).index(DOCUMENTS, judged=_judged(), seed=1)
    other = XTR(**TRAINED).index(DOCUMENTS, judged=_judged(), seed=2)
    assert index.engine.fingerprint != other.engine.fingerprint
    index.save(tmp_path / "index")
    again = open_index(tmp_path / "index")
    assert again.search(QUERIES) == index.search(QUERIES)
    again.add([Document("new", "A wing lifts what it is fixed to.")])
    assert len(again) == len(DOCUMENTS) + 1 and "new" in again.search(QUERIES)["q1"]


@pytest.mark.parametrize(
    "method", [XTR(**NANO, bits=32, probes=0, tokens=6), ColBERT(**NANO, bits=32, probes=0)]
)
def test_what_was_deleted_or_left_out_leaves_no_trace(method: Any) -> None:
    whole, part = method.index(DOCUMENTS), method.index(DOCUMENTS[2:])
    expected = part.search(QUERIES)
    within = whole.search(QUERIES, within=[document.id for document in DOCUMENTS[2:]])
    whole.delete([document.id for document in DOCUMENTS[:2]])
    for found in (within, whole.search(QUERIES)):
        for name in QUERIES:
            assert found[name] == pytest.approx(expected[name], abs=1e-6)


def test_an_explanation_adds_up_to_the_score() -> None:
    index = XTR(**NANO, tokens=12).index(DOCUMENTS[:4])
    index.add(DOCUMENTS[4:])
    for name, text in QUERIES.items():
        for document, score in index.search({name: text})[name].items():
            matches = explain(index, text, document)
            assert statistics.mean(match.similarity for match in matches) == pytest.approx(score, abs=1e-5)
            assert any(not match.imputed for match in matches)
    with pytest.raises(InputError, match=r"^index: "):
        explain(BM25().index(DOCUMENTS), "wing", "wing")
    with pytest.raises(InputError, match=r"^ids: "):
        explain(index, "wing", "no such")


def test_a_projection_that_is_not_there_cannot_be_trained() -> None:
    with pytest.raises(InputError, match=r"^width: "):
        XTR(steps=10)
    with pytest.raises(InputError, match=r"^width: "):
        XTR(**NANO, width=5000).index(DOCUMENTS)


def test_an_encoder_that_changed_is_told(tmp_path: Path) -> None:
    from etude.search.late.encoder import TokenEncoder

    torch.manual_seed(0)
    TokenEncoder.load("nano-bert", width=16).save(tmp_path / "encoder")
    XTR(encoder=str(tmp_path / "encoder")).index(DOCUMENTS).save(tmp_path / "index")
    (tmp_path / "encoder").rename(tmp_path / "old")
    TokenEncoder.load("nano-bert", width=16).save(tmp_path / "encoder")
    with pytest.raises(InputError, match=r"^encoder: .*another encoder"):
        open_index(tmp_path / "index")
