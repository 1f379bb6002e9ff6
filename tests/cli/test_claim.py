"""``etude claim``, on a toy claim that stands in for a paper's."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from etude import catalog
from etude.engine.claim import Claim, Inequality, Study


@pytest.fixture(autouse=True)
def toy_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWQ claims that looking at all numbers is better than looking at few."""
    task, methods = catalog.task("toy"), catalog.methods()
    study = Study(
        name="primes",
        task=task,
        inputs=task.inputs(),
        arms={"all": methods["toy-mean"](share=1.0), "few": methods["toy-mean"](share=0.1)},
    )
    module = ModuleType("etude.claims.awq")
    module.CLAIM = Claim(  # type: ignore[attr-defined]
        paper="awq",
        statement="More is better.",
        studies=(study,),
        must_hold=(Inequality("error", "all", "<", "few", on=study),),
    )
    monkeypatch.setitem(sys.modules, "etude.claims.awq", module)
    monkeypatch.setattr(catalog, "claimed", lambda: ["awq"])


def test_a_claim_is_checked_and_shown(etude) -> None:
    answer = etude("claim awq --jobs 1")
    assert answer.code == 0
    assert "holds" in answer.out
    assert "More is better." in answer.out
    assert max(map(len, answer.out.splitlines())) <= 80


def test_a_claim_as_json_and_as_a_file(etude, tmp_path: Path) -> None:
    answer = etude("claim", "awq", "--jobs", "1", "--json", "--out", str(tmp_path))
    (verdict,) = answer.json
    assert verdict["outcome"] == "holds"
    assert json.loads((tmp_path / "awq.json").read_text()) == verdict


def test_all_claims_resume_from_the_store(etude) -> None:
    first = etude("claim --all --jobs 1 --json").json
    assert etude("claim awq --json").json == first


def test_inputs_can_be_changed(etude) -> None:
    assert "--numbers" in etude("claim awq --help").out
    (verdict,) = etude("claim awq --jobs 1 --size 20 --json").json
    assert verdict["studies"][0]["inputs"]["size"] == 20
    answer = etude("claim awq --size 1")
    assert (answer.code, answer.err) == (2, "InputError: size: 1 is not >= 2\n")


def test_without_a_slug_the_help_names_those_that_there_are(etude) -> None:
    assert "awq" in etude("claim --help").out
    assert etude("claim flap").err.startswith(
        "InputError: claim: FLAP has no claim to check yet; those that have: awq"
    )
