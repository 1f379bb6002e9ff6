"""Where a run took place: what a reader needs to judge its figures, and to repeat it."""

from __future__ import annotations

import functools
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import etude


def environment() -> dict[str, Any]:
    """Versions, platform, processor and threads of this process; imports nothing heavy.

    Examples
    --------
    >>> sorted(environment())
    ['cores', 'cpu', 'etude', 'platform', 'python', 'threads', 'torch', 'transformers']
    """
    return {
        "etude": etude.__version__,
        "python": platform.python_version(),
        "torch": _installed("torch"),
        "transformers": _installed("transformers"),
        "platform": platform.platform(),
        "cpu": _processor(),
        "cores": cores(),
        "threads": threads(),
    }


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads() -> int:
    """Threads that one tensor operation uses in this process."""
    torch = sys.modules.get("torch")
    if torch is not None:
        return int(torch.get_num_threads())
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdecimal() and int(asked) else cores()


@functools.cache
def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@functools.cache
def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    if facts.exists():
        for line in facts.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
