from __future__ import annotations

import subprocess
import sys
import time

import pytest

from etude.engine.measure import measured

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux can reset its high-water mark")


def test_wall_time_counts_waiting_and_cpu_time_does_not() -> None:
    with measured() as figures:
        time.sleep(0.2)
    assert 0.2 <= figures["wall_s"] < 2
    assert figures["cpu_s"] < 0.15


def test_cpu_time_counts_this_process_and_its_children() -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    with measured() as own:
        until = time.process_time() + 0.1
        while time.process_time() < until:
            pass
    with measured() as childs:
        subprocess.run([sys.executable, "-c", burn], check=True)
    assert 0.1 <= own["cpu_s"] < 0.3
    assert childs["cpu_s"] >= 0.25


@linux
def test_the_peak_is_that_of_the_block_and_not_of_what_came_before() -> None:
    with measured() as large:
        block = bytearray(120_000_000)
        block[::4096] = b"x" * len(block[::4096])
        del block
    with measured() as small:
        bytearray(10_000_000)
    assert 115 < large["extra_mb"] < 140
    assert small["extra_mb"] < 20
    assert small["peak_mb"] < large["peak_mb"] - 90


def test_a_block_that_fails_is_measured_too() -> None:
    with pytest.raises(ZeroDivisionError), measured() as figures:
        _ = 1 / 0
    assert figures["wall_s"] >= 0
