"""Killing a comparison at its worst moments: what is left is whole, and the rest is done the next time."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from etude_toy import TASK, ToyMean, ToySlow
from tests.engine.watch import Log, hidden, visible

from etude.engine.compare import compare
from etude.engine.store import Store

PROGRAM = """
import sys
from etude_toy import TASK, ToyMean, ToySlow
from etude.engine.compare import compare
from etude.engine.store import Store

if __name__ == "__main__":
    methods, store = [ToyMean(), ToySlow(steps=1, pause=0.01)], Store(sys.argv[1])
    compare(methods, TASK, TASK.inputs(), seeds=range(4), store=store, jobs=int(sys.argv[2]), keep="all")
"""
RUNS = 8

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def start(tmp_path: Path, jobs: int) -> subprocess.Popen[bytes]:
    """A comparison in a process group of its own, as a shell would start it."""
    script = tmp_path / "comparison.py"
    script.write_text(PROGRAM)
    return subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "runs.db"), str(jobs)],
        start_new_session=True,
        stderr=subprocess.PIPE,
    )


def members(group: int) -> list[int]:
    """The living processes of a process group."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, _, pgid = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(pgid) == group and state != "Z":
                found.append(int(folder.name))
    return found


def half_written(artifacts: Path) -> bool:
    return any((folder / "guess.json").exists() for folder in hidden(artifacts))


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_comparison_killed_while_it_writes(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch, how: signal.Signals, jobs: int
) -> None:
    monkeypatch.setenv("ETUDE_TOY_SAVE", "0.2")  # nearly all of a run's time goes into writing its artifact
    artifacts = tmp_path / "runs.artifacts"
    process = start(tmp_path, jobs)
    until(lambda: len(visible(artifacts)) >= 2 and half_written(artifacts))
    if how == signal.SIGINT:  # Ctrl-C reaches the whole group; SIGKILL only the process it is meant for
        os.killpg(process.pid, how)
    else:
        process.kill()
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    if how == signal.SIGINT:
        assert hidden(artifacts) == []
        assert b"KeyboardInterrupt" in errors
        assert b"spawn" not in errors, errors.decode()  # workers stop in silence
    until(lambda: not members(process.pid))  # workers do not outlive it

    store = Store(tmp_path / "runs.db")
    assert hidden(artifacts) == []
    assert all((folder / "complete").exists() for folder in visible(artifacts))
    done = store.records()
    assert 1 <= len(done) < RUNS
    assert {record.status for record in done} == {"done"}
    assert {Path(record.artifact or "") for record in done} <= set(visible(artifacts))

    monkeypatch.setenv("ETUDE_TOY_SAVE", "0")
    before = log.started
    methods = [ToyMean(), ToySlow(steps=1, pause=0.01)]
    found = compare(methods, TASK, TASK.inputs(), seeds=range(4), store=store, jobs=1, keep="all")
    assert len(found.records) == len(store.records(status="done")) == RUNS
    assert (log.started - before).total() == RUNS - len(done)
    assert len(visible(artifacts)) == RUNS


def test_a_worker_killed_from_outside_costs_one_run(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ETUDE_TOY_SAVE", "0.2")
    artifacts = tmp_path / "runs.artifacts"
    process = start(tmp_path, 2)
    until(lambda: half_written(artifacts))
    commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in members(process.pid)}
    workers = [pid for pid, command in commands.items() if b"spawn_main" in command]
    os.kill(workers[0], signal.SIGKILL)
    process.communicate(timeout=30)
    assert process.returncode == 0
    store = Store(tmp_path / "runs.db")
    assert len(store.records(status="done")) == RUNS - 1
    (failed,) = store.records(status="failed")
    assert failed.reason.startswith("the worker process was killed by SIGKILL")
    assert len(visible(artifacts)) == RUNS - 1
    assert hidden(artifacts) == []


def test_two_comparisons_share_a_store(tmp_path: Path, log: Log) -> None:
    processes = [start(tmp_path, jobs=1) for _ in range(2)]
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors.decode()
    store = Store(tmp_path / "runs.db")
    assert len(store.records()) == len(store.records(status="done")) == RUNS
    assert len(visible(store.artifacts)) == RUNS
    assert all((folder / "complete").exists() for folder in visible(store.artifacts))
    assert hidden(store.artifacts) == []
