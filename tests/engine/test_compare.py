from __future__ import annotations

import math
import shutil
import statistics
from pathlib import Path
from typing import Any

import pytest
from etude_toy import TASK, ToyDie, ToyFail, ToyMean, ToyMedian
from etude_toy.task import ToyTask
from tests.engine.watch import Log, hidden, visible

from etude.engine.compare import compare
from etude.engine.rows import labels
from etude.engine.store import Store
from etude.errors import InputError

INPUTS = TASK.inputs()


def test_rows_are_settings_with_mean_and_spread_over_seeds(store: Store) -> None:
    found = compare(
        [ToyMean(share=0.2), ToyMedian(), ToyMean(share=0.6)],
        TASK,
        INPUTS,
        seeds=range(4),
        store=store,
        jobs=1,
    )
    assert [row.label for row in found.rows()] == ["toy-mean share=0.2", "toy-median", "toy-mean share=0.6"]
    assert [r.seed for r in found.records] == [0, 1, 2, 3] * 3
    assert [metric.name for metric in found.metrics][:3] == ["error", "bytes", "guess"]
    for row in found.rows():
        errors = [record.metrics["error"] for record in row.records]
        assert row.figures["error"].n == 4
        assert row.figures["error"].mean == pytest.approx(statistics.fmean(errors))
        assert row.figures["error"].std == pytest.approx(statistics.stdev(errors))
        assert row.failures == ()


def test_what_the_store_holds_is_not_run_again(store: Store, log: Log) -> None:
    compare([ToyMean()], TASK, INPUTS, seeds=(0, 1), store=store, jobs=1)
    assert log.started.total() == 2
    again = compare([ToyMean(), ToyMedian()], TASK, INPUTS, seeds=(0, 1, 2), store=store, jobs=1)
    assert log.started.total() == 6
    assert set(log.started.values()) == {1}
    assert len(again.records) == 6
    compare([ToyMean(), ToyMedian()], TASK, INPUTS, seeds=(0, 1, 2), store=store, jobs=1, fresh=True)
    assert set(log.started.values()) == {2}


def test_the_same_setting_twice_is_one(store: Store, log: Log) -> None:
    found = compare([ToyMean(), ToyMean(share=0.5)], TASK, INPUTS, seeds=(0, 0), store=store, jobs=1)
    assert (len(found.rows()), len(found.records), log.started.total()) == (1, 1, 1)


@pytest.mark.parametrize(("keep", "kept"), [("first", {5}), ("all", {5, 1}), ("none", set())])
def test_artifacts_are_kept_of_the_seeds_asked_for(store: Store, keep: Any, kept: set[int]) -> None:
    found = compare([ToyMean(), ToyMedian()], TASK, INPUTS, seeds=(5, 1), store=store, jobs=1, keep=keep)
    assert {record.seed for record in found.records if record.artifact} == kept
    assert len(visible(store.artifacts)) == 2 * len(kept)


def test_an_artifact_that_is_wanted_and_gone_is_made_again(store: Store, log: Log) -> None:
    compare([ToyMean()], TASK, INPUTS, seeds=(0, 1), store=store, jobs=1, keep="none")
    compare([ToyMean()], TASK, INPUTS, seeds=(0, 1), store=store, jobs=1, keep="first")
    assert log.started.total() == 3
    (artifact,) = visible(store.artifacts)
    shutil.rmtree(artifact)
    compare([ToyMean()], TASK, INPUTS, seeds=(0, 1), store=store, jobs=1, keep="none")
    assert log.started.total() == 3
    found = compare([ToyMean()], TASK, INPUTS, seeds=(0, 1), store=store, jobs=1, keep="first")
    assert log.started.total() == 4
    assert Path(found.records[0].artifact or "") == artifact
    assert (artifact / "complete").exists()


def test_an_artifact_that_another_run_replaced_is_made_again(store: Store, log: Log) -> None:
    compare([ToyMean()], TASK, INPUTS, seeds=(0, 1), store=store, jobs=1, keep="all")
    first, second = visible(store.artifacts)
    shutil.rmtree(first)
    shutil.copytree(second, first)
    compare([ToyMean()], TASK, INPUTS, seeds=(0, 1), store=store, jobs=1, keep="all")
    assert log.started.total() == 3


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_failure_is_recorded_and_stops_nothing(store: Store, log: Log, jobs: int) -> None:
    methods = [ToyFail(chance=0.5), ToyMedian()]
    found = compare(methods, TASK, INPUTS, seeds=range(4), store=store, jobs=jobs)
    fragile, sound = found.rows()
    assert [record.seed for record in fragile.failures] == [1, 3]  # as the draws of these seeds have it
    assert {record.reason for record in fragile.failures} == {"RuntimeError: this toy is broken"}
    assert fragile.figures["error"].n == 2
    assert (len(sound.records), sound.failures) == (4, ())
    assert len(store.records(status="failed")) == 2
    compare(methods, TASK, INPUTS, seeds=range(4), store=store, jobs=jobs)
    assert log.started.total() == 10  # the failed ones are tried again, the others are not


def test_a_killed_worker_costs_its_run_and_no_other(store: Store, log: Log) -> None:
    found = compare([ToyDie(), ToyMean()], TASK, INPUTS, seeds=range(3), store=store, jobs=2, keep="all")
    dead, alive = found.rows()
    assert [record.seed for record in dead.failures] == [0, 1, 2]
    assert "killed by SIGKILL" in dead.failures[0].reason
    assert store.records(method="toy-die", status="failed", limit=1)[0] in dead.failures
    assert len(alive.records) == 3
    assert hidden(store.artifacts) == []
    assert set(log.started.values()) == {1}


def test_processes_give_the_figures_that_one_process_gives(store: Store, tmp_path: Path) -> None:
    grid = [ToyMean(share=0.2), ToyMean(share=0.7), ToyMedian()]
    here = compare(grid, TASK, INPUTS, store=store, jobs=1)
    there = compare(grid, TASK, INPUTS, store=Store(tmp_path / "other.db"), jobs=2)
    assert [record.key for record in here.records] == [record.key for record in there.records]
    for one, other in zip(here.records, there.records, strict=True):
        assert one.metrics["guess"] == other.metrics["guess"]


def test_the_inputs_are_opened_once_in_each_process(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    real = ToyTask.open
    monkeypatch.setattr(ToyTask, "open", lambda self, inputs: opened.append(1) or real(self, inputs))
    compare([ToyMean(), ToyMedian()], TASK, INPUTS, store=store, jobs=1)
    assert len(opened) == 1


@pytest.mark.parametrize(
    ("methods", "inputs", "changes", "field"),
    [
        ([], INPUTS, {}, "methods"),
        ([ToyMean()], INPUTS, {"seeds": ()}, "seeds"),
        ([ToyMean()], INPUTS, {"seeds": (0, -3)}, "seed"),
        ([ToyMean()], INPUTS, {"jobs": 0}, "jobs"),
        ([ToyMean()], INPUTS, {"keep": "some"}, "keep"),
        ([ToyMedian(), ToyMean(share=0.001)], INPUTS, {}, "share"),
        ([ToyMean()], TASK.inputs(size=101), {}, "size"),
    ],
)
def test_bad_input_is_refused_before_any_work(
    store: Store, log: Log, methods: list[Any], inputs: Any, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(InputError) as caught:
        compare(methods, TASK, inputs, store=store, **{"jobs": 1} | changes)
    assert caught.value.field == field
    assert not log.started


def test_methods_that_do_not_fit_may_be_left_out(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(method: Any, *_: Any) -> None:
        if isinstance(method, ToyMedian):
            raise InputError("numbers", "no median of these")

    monkeypatch.setattr("etude.engine.compare.admit", refuse)
    found = compare([ToyMean(), ToyMedian()], TASK, INPUTS, seeds=(0,), store=store, jobs=1, fitting=True)
    assert [row.label for row in found.rows()] == ["toy-mean"]
    assert found.left_out == found.to_json()["left_out"] == {"toy-median": "numbers: no median of these"}
    with pytest.raises(InputError, match="no median"):
        compare([ToyMedian()], TASK, INPUTS, seeds=(0,), store=store, jobs=1, fitting=True)
    with pytest.raises(InputError, match="no median"):
        compare([ToyMean(), ToyMedian()], TASK, INPUTS, seeds=(0,), store=store, jobs=1)


def test_everything_goes_into_json(store: Store) -> None:
    found = compare([ToyMean(), ToyFail()], TASK, INPUTS, seeds=(0, 1), store=store, jobs=1).to_json()
    assert found["task"] == "toy"
    assert found["inputs"] == {"numbers": "primes", "size": 40}
    assert len(found["runs"]) == 4
    mean, fail = found["rows"]
    assert mean["figures"]["error"]["by_seed"].keys() == {"0", "1"}
    assert [failure["seed"] for failure in fail["failures"]] == [0, 1]


def test_labels_name_what_sets_rows_apart() -> None:
    assert labels([ToyMean(), ToyMedian()]) == ["toy-mean", "toy-median"]
    assert labels([ToyMean(share=0.25)]) == ["toy-mean share=0.25"]
    assert labels([ToyFail(message="a"), ToyFail(message="b")]) == [
        "toy-fail message=a",
        "toy-fail message=b",
    ]


def test_a_row_without_a_single_success_has_no_figures(store: Store) -> None:
    (row,) = compare([ToyFail()], TASK, INPUTS, seeds=(0,), store=store, jobs=1).rows()
    assert (row.figures, row.records, len(row.failures)) == ({}, (), 1)
    assert not any(math.isnan(figure.mean) for figure in row.figures.values())
