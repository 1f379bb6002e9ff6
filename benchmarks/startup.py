"""How long a user waits before anything happens: `import etude`, `etude list`, `etude --help`."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import machine, table, write_results

REPEATS = 7
ETUDE = Path(sys.executable).with_name("etude")
COMMANDS: tuple[tuple[str, list[str | Path], float | None], ...] = (
    ("python -c pass", [sys.executable, "-c", "pass"], None),
    ('python -c "import etude"', [sys.executable, "-c", "import etude"], 0.3),
    ("etude list", [ETUDE, "list"], 0.7),
    ("etude --help", [ETUDE, "--help"], None),
)


def seconds(command: Sequence[str | Path]) -> dict[str, float]:
    """Median wall and CPU seconds of a whole process, bytecode compiled as it is after an install."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    walls, cpus = [], []
    for _ in range(REPEATS + 1):
        wall, cpu = time.perf_counter(), children()
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
        walls.append(time.perf_counter() - wall)
        cpus.append(children() - cpu)
    return {"wall s": statistics.median(walls[1:]), "CPU s": statistics.median(cpus[1:])}


def children() -> float:
    """CPU seconds of all processes that this one has waited for."""
    times = os.times()
    return times.children_user + times.children_system


def main() -> None:
    """Measure, print, keep."""
    rows: list[dict[str, Any]] = [
        {"command": title, **seconds(command), "at most": most} for title, command, most in COMMANDS
    ]
    print(table(rows))
    print(f"written to {write_results('startup', {'machine': machine(), 'rows': rows})}", file=sys.stderr)


if __name__ == "__main__":
    main()
