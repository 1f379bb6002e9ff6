from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from etude_toy import TASK, ToyFail, ToyMean, ToyMedian
from etude_toy.task import ToyTrial
from tests.engine.watch import Log, hidden, visible

from etude.engine.record import Record
from etude.engine.run import NOTE, RunFailed, key, run
from etude.engine.store import Store
from etude.errors import InputError
from etude.method import method

INPUTS = TASK.inputs()


def test_a_run_leaves_an_artifact_and_a_record_of_what_determined_it(store: Store) -> None:
    record = run(ToyMean(share=0.25), TASK, INPUTS, seed=3, store=store)
    assert store.get(record.key) == record
    assert (record.status, record.task, record.method, record.seed) == ("done", "toy", "toy-mean", 3)
    assert record.parameters == {"share": 0.25}
    assert record.inputs == {"numbers": "primes", "size": 40}
    assert record.fingerprints == dict(TASK.open(INPUTS).fingerprints)
    assert record.metrics.keys() == {"error", "bytes", "guess", "wall_s", "cpu_s", "peak_mb", "extra_mb"}
    assert record.started.endswith("+00:00")
    assert {
        "etude",
        "python",
        "torch",
        "transformers",
        "platform",
        "cpu",
        "threads",
    } <= record.environment.keys()
    folder = Path(record.artifact or "")
    assert folder == store.artifacts / record.key
    assert json.loads((folder / "guess.json").read_text()) == record.metrics["guess"]
    assert Record.from_json(json.loads((folder / NOTE).read_text())) == record


def test_the_same_seed_gives_the_same_figures_and_leaves_the_random_state_alone(store: Store) -> None:
    random.seed(11)
    before = random.getstate()
    first, again, other = (run(ToyMean(), TASK, INPUTS, seed=seed, store=store) for seed in (0, 0, 1))
    assert random.getstate() == before
    assert first.metrics["guess"] == again.metrics["guess"] != other.metrics["guess"]
    assert first.key == again.key != other.key
    assert len(store.records()) == 2


def test_the_artifact_goes_where_it_is_asked_to_go(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "model"
    record = run(ToyMean(), TASK, INPUTS, store=store, out=out)
    assert record.artifact == str(out)
    assert (out / "complete").exists()
    assert visible(store.artifacts) == []
    empty = tmp_path / "empty"
    empty.mkdir()
    assert run(ToyMean(), TASK, INPUTS, store=store, out=empty).artifact == str(empty)


@pytest.mark.parametrize("place", ["full", "file", "file/below"])
def test_a_place_that_cannot_be_used_is_refused_before_any_work(
    store: Store, log: Log, tmp_path: Path, place: str
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious").write_text("mine")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError) as caught:
        run(ToyMean(), TASK, INPUTS, store=store, out=tmp_path / place)
    assert caught.value.field == "out"
    assert not log.started
    assert (tmp_path / "full" / "precious").read_text() == (tmp_path / "file").read_text() == "mine"
    assert store.records() == []


def test_nothing_is_kept_when_nothing_should_be(store: Store) -> None:
    assert run(ToyMean(), TASK, INPUTS, store=store, keep=False).artifact is None
    assert visible(store.artifacts) == []


@pytest.mark.parametrize(
    ("method", "inputs", "seed", "field"),
    [
        (ToyMean(share=0.01), INPUTS, 0, "share"),
        (ToyMean(), TASK.inputs(size=1000), 0, "size"),
        (ToyMean(), TASK.inputs(numbers="absent.json"), 0, "numbers"),
        (ToyMean(), INPUTS, -1, "seed"),
        (ToyMean(), INPUTS, 2**32, "seed"),
    ],
)
def test_bad_input_is_refused_before_any_work(
    store: Store, log: Log, method: Any, inputs: Any, seed: int, field: str
) -> None:
    with pytest.raises(InputError) as caught:
        run(method, TASK, inputs, seed=seed, store=store)
    assert caught.value.field == field
    assert not log.started
    assert store.records() == []


def test_a_method_of_another_task_is_refused(store: Store) -> None:
    @method("elsewhere", task="other")
    class Elsewhere:
        pass

    with pytest.raises(InputError, match="elsewhere is a method of task other, not of toy"):
        run(Elsewhere(), TASK, INPUTS, store=store)


def test_a_failure_is_recorded_with_its_traceback(store: Store) -> None:
    with pytest.raises(RunFailed, match=r"toy-fail \(seed 0\) failed: RuntimeError: out of luck") as caught:
        run(ToyFail(message="out of luck"), TASK, INPUTS, store=store)
    record = store.get(caught.value.record.key)
    assert record == caught.value.record
    assert record is not None
    assert (record.status, record.artifact, record.metrics) == ("failed", None, {})
    assert record.reason == "RuntimeError: out of luck"
    assert "in guess" in (record.error or "")
    assert visible(store.artifacts) == hidden(store.artifacts) == []


def test_a_failure_costs_no_earlier_result(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run(ToyMean(), TASK, INPUTS, store=store)

    def full_disk(self: ToyTrial, folder: Path) -> None:
        (folder / "half").write_text("half")
        raise OSError("no space left on device")

    monkeypatch.setattr(ToyTrial, "save", full_disk)
    with pytest.raises(RunFailed, match="no space left"):
        run(ToyMean(), TASK, INPUTS, store=store)
    assert store.get(done.key) == done
    assert [record.status for record in store.records()] == ["failed", "done"]
    assert (Path(done.artifact or "") / "complete").exists()
    assert hidden(store.artifacts) == []
    monkeypatch.undo()
    run(ToyMean(), TASK, INPUTS, store=store)
    assert [record.status for record in store.records()] == ["done"]


def test_an_interruption_leaves_neither_artifact_nor_record(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: ToyTrial, folder: Path) -> None:
        (folder / "half").write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(ToyTrial, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(ToyMean(), TASK, INPUTS, store=store)
    assert store.records() == []
    assert visible(store.artifacts) == hidden(store.artifacts) == []


def test_figures_without_bounds_survive_the_store(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ToyTrial, "score", lambda self: {"error": float("inf"), "bytes": 1})
    record = run(ToyMean(), TASK, INPUTS, store=store)
    assert store.get(record.key) == record
    assert record.metrics["error"] == float("inf")


def test_records_go_to_the_users_own_store_by_default(own_home: Path) -> None:
    record = run(ToyMean(), TASK, INPUTS)
    assert Store().get(record.key) == record
    assert (own_home / "etude.db").exists()


class TestKey:
    def of(self, method: Any = None, inputs: Any = INPUTS, prints: str = "5a49", seed: int = 0) -> str:
        return key(method or ToyMean(), TASK, inputs, {"numbers": prints}, seed)

    def test_changes_with_everything_that_determines_the_outcome(self) -> None:
        keys = [
            self.of(),
            self.of(ToyMedian()),
            self.of(ToyMean(share=0.4)),
            self.of(inputs=replace(INPUTS, size=39)),
            self.of(prints="5a4a"),
            self.of(seed=1),
        ]
        assert len(set(keys)) == len(keys)
        assert all(len(k) == 16 and int(k, 16) >= 0 for k in keys)

    def test_changes_with_the_version_and_the_source(self, monkeypatch: pytest.MonkeyPatch) -> None:
        before = self.of()
        monkeypatch.setattr("etude.__version__", "99.0")
        newer = self.of()
        monkeypatch.undo()
        monkeypatch.setattr("inspect.getsource", lambda _: "edited")
        assert len({before, newer, self.of()}) == 3

    def test_stays_when_the_same_content_has_another_name(self) -> None:
        assert self.of() == self.of(inputs=replace(INPUTS, numbers="/elsewhere/primes.json"))

    def test_is_the_same_in_every_process(self) -> None:
        program = (
            "from etude_toy import *; from etude.engine.run import key;"
            "print(key(ToyMean(), TASK, TASK.inputs(), {'numbers': '5a49'}, 0))"
        )
        for hash_seed in ("1", "2"):
            environment = os.environ | {"PYTHONHASHSEED": hash_seed}
            found = subprocess.run(
                [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
            )
            assert found.stdout.strip() == self.of()
