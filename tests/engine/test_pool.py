from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from etude.engine.pool import Lost, Pool


def test_every_item_comes_back_with_its_index() -> None:
    assert sorted(Pool(abs, workers=3).map([-3, 2, -1, 0])) == [(0, 3), (1, 2), (2, 1), (3, 0)]


def test_no_items_start_no_worker() -> None:
    assert list(Pool(abs, workers=2).map([])) == []


def test_an_error_costs_its_item_and_comes_with_its_traceback() -> None:
    found = dict(Pool(math.sqrt, workers=1).map([4.0, -1.0, 9.0]))
    assert (found[0], found[2]) == (2.0, 3.0)
    lost = found[1]
    assert isinstance(lost, Lost)
    assert lost.reason.startswith("Traceback")
    assert "ValueError" in lost.reason.splitlines()[-1]


def test_a_death_costs_its_item_and_the_worker_is_replaced(tmp_path: Path) -> None:
    found = dict(Pool(os._exit, workers=1).map([3, 4]))
    assert found == {
        0: Lost("the worker process ended with exit code 3"),
        1: Lost("the worker process ended with exit code 4"),
    }


def test_a_result_that_cannot_travel_is_lost_and_nothing_else() -> None:
    found = dict(Pool(memoryview, workers=1).map([b"x", b"y"]))
    assert all(isinstance(lost, Lost) and "pickle" in lost.reason for lost in found.values())


def test_workers_get_their_threads_before_anything_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    found = Pool(os.getenv, workers=1, threads=3).map(["OMP_NUM_THREADS", "MKL_NUM_THREADS"])
    assert dict(found) == {0: "3", 1: "3"}
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ


@pytest.mark.parametrize("how", ["script", "standard input", "command"])
def test_a_program_without_a_guard_does_not_run_twice(tmp_path: Path, how: str) -> None:
    program = (
        "print('begun')\nfrom etude.engine.pool import Pool\nprint(list(Pool(abs, workers=1).map([-1])))\n"
    )
    script = tmp_path / "script.py"
    script.write_text(program)
    command = {"script": [str(script)], "standard input": ["-"], "command": ["-c", program]}[how]
    found = subprocess.run(
        [sys.executable, *command], input=program, capture_output=True, text=True, timeout=30
    )
    assert (found.stdout, found.stderr) == ("begun\n[(0, 1)]\n", "")


def test_what_the_program_itself_defines_can_be_used(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from etude.engine.pool import Pool\n"
        "def double(x): return 2 * x\n"
        "if __name__ == '__main__': print(list(Pool(double, workers=1).map([4])))\n"
    )
    found = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=30)
    assert found.stdout == "[(0, 8)]\n"


def test_stopping_early_stops_the_workers() -> None:
    begun = time.monotonic()
    results = Pool(time.sleep, workers=2).map([0, 60, 60])
    assert next(results) == (0, None)
    results.close()
    assert time.monotonic() - begun < 8
