from __future__ import annotations

import re

import pytest

from etude.card import AREAS


def test_list_shows_every_paper_within_80_columns(etude) -> None:
    answer = etude("list")
    assert answer.code == 0
    assert max(map(len, answer.out.splitlines())) <= 80
    assert len(re.findall(r"^  [a-z0-9]", answer.out, re.MULTILINE)) == 86
    assert "compress / prune" in answer.out
    assert "86 papers" in answer.out
    assert "…" not in answer.out


def test_list_as_json(etude) -> None:
    rows = etude("list --json").json
    assert len(rows) == 86
    wanted = {"slug", "title", "arxiv", "area", "task", "methods", "implemented", "claim"}
    assert all(wanted <= row.keys() for row in rows)
    assert {row["claim"] for row in rows} <= {"holds", "does not hold", "not decided", "not run"}
    assert all(row["implemented"] == bool(row["methods"]) for row in rows)


@pytest.mark.parametrize("area", AREAS)
def test_list_of_an_area(etude, area: str) -> None:
    assert {row["area"] for row in etude(f"list --area {area} --json").json} == {area}


def test_list_of_a_task_and_of_what_runs(etude) -> None:
    assert {row["task"] for row in etude("list --task rerank --json").json} == {"rerank"}
    assert all(row["implemented"] for row in etude("list --implemented --json").json)


def test_show_a_paper(etude) -> None:
    answer = etude("show flap")
    assert "Fluctuation-based Adaptive Structured Pruning" in answer.out
    assert "https://arxiv.org/abs/2312.11983" in answer.out
    assert max(map(len, answer.out.splitlines())) <= 80
    facts = etude("show d-pruner --json").json
    assert facts["slug"] == "d-pruner"
    assert facts["claim_outcome"] in ("holds", "does not hold", "not decided", "not run")
    assert {"name", "implemented"} == facts["parts"][0].keys()


def test_every_card_can_be_shown(etude) -> None:
    for row in etude("list --json").json:
        answer = etude(f"show {row['slug']}")
        assert answer.code == 0
        assert "…" not in answer.out, row["slug"]


def test_show_a_method_with_its_fields(etude) -> None:
    answer = etude("show wanda")
    assert "Removes, in every output row" in answer.out
    assert "sparsity" in answer.out
    facts = etude("show wanda --json").json
    sparsity = next(field for field in facts["fields"] if field["name"] == "sparsity")
    assert sparsity["default"] == 0.5
    assert sparsity["type"] == "a number in [0, 1)"
    assert sparsity["help"].startswith("share of the weights")


def test_search(etude) -> None:
    answer = etude("search", "prune without retraining")
    assert answer.out.lstrip().startswith("flap")
    hits = etude("search prune without retraining --limit 3 --json").json
    assert hits[0]["slug"] == "flap"
    assert len(hits) == 3
    assert etude("search wanda --json").json[0]["slug"] == "wanda"
    nothing = etude("search zzzz")
    assert (nothing.code, nothing.err) == (0, "")
    assert "Nothing fits" in nothing.out
