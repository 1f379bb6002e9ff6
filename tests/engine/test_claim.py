from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from etude_toy import TASK, ToyFail, ToyMean, ToyMedian
from rich.console import Console
from tests.engine.watch import Log, visible

from etude import claims
from etude.engine.claim import AllOf, Arm, Claim, Inequality, Study, check, save
from etude.engine.inequality import Finding, Status
from etude.engine.store import Store
from etude.engine.verdict import decide
from etude.errors import InputError

SMALL = Study(
    name="small",
    task=TASK,
    inputs=TASK.inputs(),
    arms={
        "half": ToyMean(),
        "few": ToyMean(share=0.1),
        "median": ToyMedian(),
        "fragile": ToyFail(chance=0.5),
    },
)
LARGE = Study(
    name="large",
    task=TASK,
    inputs=TASK.inputs(size=100),
    arms={"half": ToyMean(), "median": ToyMedian()},
    seeds=(0,),
)
FEW_IS_WORSE = Inequality("error", "half", "<", "few", on=SMALL)
MEDIAN_IS_BETTER_WHERE_LARGE = Inequality("error", "median", "<", "half", on=LARGE)


def claim(**changes: Any) -> Claim:
    facts: dict[str, Any] = {
        "paper": "toy",
        "statement": "Half the numbers tell more than a tenth of them.",
        "studies": (SMALL, LARGE),
        "must_hold": (FEW_IS_WORSE,),
    }
    return Claim(**facts | changes)


def test_a_claim_is_run_and_judged(store: Store, log: Log) -> None:
    verdict = check(claim(reported=(MEDIAN_IS_BETTER_WHERE_LARGE,)), store=store, jobs=1)
    assert verdict.outcome == "holds"
    (finding,) = verdict.must_hold
    half, few = (verdict.results["small"][arm] for arm in ("half", "few"))
    assert finding.differences == {
        seed: half[seed].metrics["error"] - few[seed].metrics["error"] for seed in (0, 1, 2)
    }
    assert log.started.total() == 4 * 3 + 2
    assert visible(store.artifacts) == []
    again = check(claim(), store=store, jobs=1)
    assert log.started.total() == 14 + 1  # the run that failed is tried again
    assert again.outcome == "holds"


def found(status: Status, missing: bool = False) -> Finding:
    return Finding("", status, missing=missing)


@pytest.mark.parametrize(
    ("must", "refuted", "outcome"),
    [
        (["satisfied", "satisfied"], [], "holds"),
        (["satisfied", "undecided"], [], "not decided"),
        (["satisfied", "violated"], [], "does not hold"),
        (["undecided", "violated"], [], "does not hold"),
        (["satisfied"], ["violated"], "holds"),
        (["satisfied"], ["undecided"], "holds"),
        (["satisfied"], ["missing"], "not decided"),
        (["satisfied"], ["satisfied"], "does not hold"),
        (["undecided"], ["satisfied"], "does not hold"),
        (["undecided"], ["violated"], "not decided"),
    ],
)
def test_how_findings_make_an_outcome(must: list[Any], refuted: list[Any], outcome: str) -> None:
    findings = [
        [found("undecided", True) if s == "missing" else found(s) for s in group] for group in (must, refuted)
    ]
    assert decide(*findings) == outcome


def test_a_failed_run_is_never_hidden(store: Store) -> None:
    verdict = check(
        claim(must_hold=(FEW_IS_WORSE, Inequality("error", "fragile", "<", "few", on=SMALL))),
        store=store,
        jobs=1,
    )
    assert verdict.outcome == "not decided"
    assert verdict.must_hold[1].reason == "fragile, seed 1 failed: RuntimeError: this toy is broken"
    text = rendered(verdict)
    assert "fragile, seed 1 failed: RuntimeError: this toy is broken" in text
    arms = {arm["label"]: arm for arm in verdict.to_json()["studies"][0]["arms"]}
    assert arms["fragile"]["failures"] == [{"seed": 1, "reason": "RuntimeError: this toy is broken"}]


def rendered(verdict: Any) -> str:
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(verdict)
    return console.export_text()


def test_it_can_be_read(store: Store) -> None:
    verdict = check(
        claim(refuted_if=(AllOf(Inequality("error", "few", "<=", "half", on=SMALL, over=2)),)),
        store=store,
        jobs=1,
    )
    text = rendered(verdict)
    for line in (
        "small: numbers primes, size 40",
        "✓ error(half) < error(few) in all 3 seeds · small (holds in 3 of 3)",
        "left - right by seed: -9.607, -6.942, -39.41; mean -18.65, 95 % interval -63.43 to +26.12",
        "✗ error(few) <= error(half) in 2 of 3 seeds · small (holds in 0 of 3)",
        "holds  Half the numbers tell more than a tenth of them.",
    ):
        assert line in text
    assert max(map(len, text.splitlines())) <= 100


def test_it_is_recorded_where_the_catalogue_finds_it(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "RESULTS", tmp_path)
    assert claims.outcome("toy") == "not run"
    verdict = check(claim(), store=store, jobs=1)
    path = save(verdict, tmp_path)
    assert claims.outcome("toy") == "holds"
    recorded = json.loads(path.read_text())
    assert recorded == claims.result("toy")
    assert recorded["checked"] == max(record.started for record in verdict.records)
    assert recorded["environment"] == verdict.records[0].environment
    (finding,) = recorded["must_hold"]
    assert finding["statement"] == "error(half) < error(few) in all 3 seeds"
    assert len(finding["interval_95"]) == 2
    large = recorded["studies"][1]
    assert (large["name"], large["inputs"], large["seeds"]) == (
        "large",
        {"numbers": "primes", "size": 100},
        [0],
    )
    assert large["arms"][0]["figures"]["error"]["std"] == "nan"


def test_it_can_be_checked_on_other_inputs(store: Store, tmp_path: Path) -> None:
    numbers = tmp_path / "mine.json"
    numbers.write_text(json.dumps([float(n % 7) for n in range(200)]))
    verdict = check(claim(), store=store, jobs=1, inputs={"numbers": str(numbers)})
    assert {record.inputs["numbers"] for record in verdict.records} == {str(numbers)}
    assert [study.inputs.size for study in verdict.studies] == [40, 100]


@pytest.mark.parametrize(
    ("inputs", "field"),
    [({"numbers": "absent.json"}, "numbers"), ({"sise": 3}, "inputs"), ({"size": "x"}, "size")],
)
def test_bad_inputs_are_refused_before_any_work(store: Store, log: Log, inputs: Any, field: str) -> None:
    with pytest.raises(InputError) as caught:
        check(claim(), store=store, jobs=1, inputs=inputs)
    assert caught.value.field == field
    assert not log.started


def test_a_later_study_is_checked_before_the_first_is_run(store: Store, log: Log) -> None:
    unfit = Study(name="unfit", task=TASK, inputs=TASK.inputs(size=999), arms={"half": ToyMean()})
    with pytest.raises(InputError, match="size"):
        check(claim(studies=(SMALL, unfit)), store=store, jobs=1)
    assert not log.started


def test_arms_may_differ_in_their_inputs(store: Store, log: Log) -> None:
    study = Study(
        name="sizes",
        task=TASK,
        inputs=TASK.inputs(),
        arms={
            "half": ToyMean(),
            "half of more": Arm(ToyMean(), size=80),
            "median of more": Arm(ToyMedian(), size=80),
        },
        seeds=(0, 1),
    )
    more = Inequality("error", "half of more", "<", "half", on=study)
    verdict = check(claim(studies=(study,), must_hold=(more,)), store=store, jobs=1)
    sizes = {arm: {r.inputs["size"] for r in runs.values()} for arm, runs in verdict.results["sizes"].items()}
    assert sizes == {"half": {40}, "half of more": {80}, "median of more": {80}}
    assert len(verdict.must_hold[0].differences) == 2
    assert log.started.total() == 6
    assert "half of more: on size 80" in rendered(verdict)
    arms = verdict.to_json()["studies"][0]["arms"]
    assert [arm["changed_inputs"] for arm in arms] == [{}, {"size": 80}, {"size": 80}]


def test_authors_mistakes_are_found_when_the_claim_is_written() -> None:
    with pytest.raises(ValueError, match="same name"):
        claim(studies=(SMALL, SMALL))
    with pytest.raises(ValueError, match="'large' is not listed"):
        claim(studies=(SMALL,), reported=(AllOf(MEDIAN_IS_BETTER_WHERE_LARGE),))
