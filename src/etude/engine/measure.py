"""Measuring a piece of work: wall and CPU time, and the memory it needed at its peak."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import math
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from etude.task import Metric

MEASURES = (
    Metric("wall_s", "wall time", "lower", unit="s", digits=2, axis="cost"),
    Metric("cpu_s", "CPU time", "lower", unit="s", digits=2, axis="cost"),
    Metric("peak_mb", "peak memory", "lower", unit="MB", digits=0, axis="cost"),
    Metric("extra_mb", "memory above start", "lower", unit="MB", digits=0, axis="cost"),
)
"""What the engine measures of every run, beside the figures of its task."""

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


@contextlib.contextmanager
def measured() -> Iterator[dict[str, float]]:
    """Measure the block; the figures stand in the yielded dictionary when the block ends.

    ``wall_s`` and ``cpu_s`` (all threads, and child processes that were waited for) in seconds;
    ``peak_mb``, the most memory that the process held resident during the block, and ``extra_mb``,
    how much of it came on top of the level before the block, in 10^6 bytes. Where the system cannot
    reset its high-water mark (anything but Linux), the peak is that of the process's whole life;
    where it does not tell it at all (Windows), both are NaN.

    Examples
    --------
    >>> with measured() as figures:
    ...     block = bytearray(50_000_000)
    >>> sorted(figures)
    ['cpu_s', 'extra_mb', 'peak_mb', 'wall_s']
    >>> figures["wall_s"] > 0
    True
    """
    figures: dict[str, float] = {}
    _release()
    before = _reset_peak()
    wall, cpu = time.perf_counter(), _cpu()
    try:
        yield figures
    finally:
        figures["wall_s"] = time.perf_counter() - wall
        figures["cpu_s"] = _cpu() - cpu
        figures["peak_mb"] = _peak() / 1e6
        figures["extra_mb"] = max(0.0, _peak() - before) / 1e6


def _release() -> None:
    """Give freed memory back to the system, or what the block takes would not show above it."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # only the GNU C library has it
        ctypes.CDLL(None).malloc_trim(0)


def _cpu() -> float:
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def _reset_peak() -> float:
    """Lower the high-water mark to the present level, in bytes, and return that."""
    try:
        _CLEAR.write_text("5")
    except OSError:
        return _peak()
    return _status("VmRSS")


def _peak() -> float:
    if _STATUS.exists():
        return _status("VmHWM")
    try:
        import resource
    except ImportError:
        return math.nan
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def _status(field: str) -> float:
    match = re.search(rf"^{field}:\s+(\d+) kB", _STATUS.read_text(), re.MULTILINE)
    if match is None:
        raise OSError(f"{_STATUS} does not tell {field}")
    return float(match[1]) * 1024
