"""The task: projections are trained from the same start, and judged by few tokens and by all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from etude.search.late import ColBERTLoss, TokenEncoder, UntrainedTokens, XTRLoss
from etude.search.late.task import TASK, Inputs, LateCase
from etude.search.retrieve.checks import DOCUMENTS, QRELS, QUERIES
from etude.seeds import seeded


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LateCase:
    monkeypatch.setenv("ETUDE_CACHE", str(tmp_path / "cache"))
    corpus = [json.dumps({"_id": d.id, "title": d.title, "text": d.text}) for d in DOCUMENTS]
    (tmp_path / "corpus.jsonl").write_text("\n".join(corpus))
    (tmp_path / "queries.tsv").write_text("\n".join(["id\ttext", *map("\t".join, QUERIES.items())]))
    judged = [
        f"{query}\t{document}\t{grade}" for query, own in QRELS.items() for document, grade in own.items()
    ]
    (tmp_path / "qrels.tsv").write_text("\n".join(["query\tdocument\tgrade", *judged]))
    return TASK.open(Inputs(encoder="nano-bert", width=16, data=str(tmp_path)))


@pytest.mark.parametrize("method", [XTRLoss(steps=5, tokens=8), ColBERTLoss(steps=5), UntrainedTokens()])
def test_every_figure_is_there_and_the_encoder_is_saved(
    case: LateCase, method: object, tmp_path: Path
) -> None:
    with seeded(0):
        trial = case.trial(0)
        trial.apply(method)
    figures = trial.score()
    assert set(figures) == {metric.name for metric in TASK.metrics}
    assert 0 <= figures["relevant_200"] <= 1 and figures["flops_ratio"] > 10
    assert figures["ndcg_1000"] == pytest.approx(figures["ndcg_all"])  # there are fewer tokens than that
    (tmp_path / "encoder").mkdir()
    trial.save(tmp_path / "encoder")
    assert TokenEncoder.load(tmp_path / "encoder").width == 16


def test_all_methods_begin_with_the_same_projection_and_pairs(case: LateCase) -> None:
    one, two = case.trial(3), case.trial(3)
    assert torch.equal(one.given["encoder"].projection.weight, two.given["encoder"].projection.weight)
    assert one.given["pairs"] == two.given["pairs"]
    asked = {pair.query for pair in one.given["pairs"]}
    assert asked and not asked & set(one.test.queries.values())
