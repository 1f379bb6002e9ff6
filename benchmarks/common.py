"""What every benchmark shares: environments of peers, jobs as processes, a table, a file of results."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SOURCES = HERE.parent / "src"
ENVIRONMENTS = HERE.parent / ".venv-peers"
RESULTS = HERE / "results"
FLAGS = ("avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd")


class Unavailable(Exception):
    """A peer that cannot be installed, or a job that failed: the table says why and the rest goes on."""


def peer_python(peer: str) -> Path:
    """The interpreter of a peer's own environment, which is made again whenever its requirements change.

    Peers pin other versions than Etude does, so each lives alone in ``.venv-peers/<peer>``.

    Raises
    ------
    Unavailable : if ``peers/<peer>.txt`` cannot be installed.
    """
    requirements = HERE / "peers" / f"{peer}.txt"
    folder = ENVIRONMENTS / peer
    python, stamp = folder / "bin" / "python", folder / "requirements.sha256"
    wanted = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    print(f"installing {peer} in {folder} ...", file=sys.stderr)
    commands: tuple[list[str | Path], ...] = (
        [sys.executable, "-m", "venv", "--clear", folder],
        [python, "-m", "pip", "install", "-q", "-r", requirements],
    )
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise Unavailable(f"cannot be installed: {last_line(done.stderr)}")
    stamp.write_text(wanted)
    return python


def play(script: Path, job: Mapping[str, Any], python: Path | None = None) -> dict[str, Any]:
    """Run ``script JOB RESULT`` in a process of its own, one thread, no network; return what it wrote.

    A process a job: peak memory is that of this job alone, and no job warms up another.

    Parameters
    ----------
    script : reads the JSON file named first, writes the JSON file named second.
    job : what to do; anything JSON can hold.
    python : the interpreter; by default the one that runs the benchmark.

    Raises
    ------
    Unavailable : with the last line of its errors, if the script fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        asked, answer = Path(folder, "job.json"), Path(folder, "result.json")
        asked.write_text(json.dumps(job))
        command = [python or sys.executable, script, asked, answer]
        done = subprocess.run(
            command,
            cwd=folder,
            env=_one_thread(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        if done.returncode:
            raise Unavailable(f"failed: {last_line(done.stderr)}")
        result: dict[str, Any] = json.loads(answer.read_text())
        return result


def _one_thread() -> dict[str, str]:
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    offline = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    # Peers measure themselves with etude.engine.measure, which needs the standard library only.
    return {**os.environ, **threads, **offline, "PYTHONPATH": str(SOURCES)}


def last_line(text: str) -> str:
    """The last line with text in it: where Python and pip say what went wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "without a message"


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as an aligned Markdown table, numbers to the right; a missing or None cell is a dash."""
    heads = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[_cell(row.get(head)) for head in heads] for row in rows]
    right = [any(isinstance(row.get(head), (int, float)) for row in rows) for head in heads]
    widths = [max(len(line[i]) for line in [heads, *cells]) for i in range(len(heads))]
    rule = ["-" * (width - 1) + (":" if r else "-") for width, r in zip(widths, right, strict=True)]

    def line(texts: Sequence[str]) -> str:
        padded = (t.rjust(w) if r else t.ljust(w) for t, w, r in zip(texts, widths, right, strict=True))
        return "| " + " | ".join(padded) + " |"

    return "\n".join([line(heads), line(rule), *map(line, cells)])


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.2f}" if abs(value) < 100 else f"{value:,.0f}"
    return str(value)


def machine() -> dict[str, Any]:
    """What a reader needs to judge the figures: processor features, cores, memory, load, versions."""
    from importlib.metadata import version

    facts = Path("/proc/cpuinfo")
    words = set(facts.read_text().split()) if facts.exists() else set()
    return {
        "features": [flag for flag in FLAGS if flag in words],
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "load": round(os.getloadavg()[0], 1),
        "python": sys.version.split()[0],
        **{package: version(package) for package in ("etude", "torch", "transformers")},
    }


def write_results(name: str, content: Mapping[str, Any]) -> Path:
    """Keep a run in ``results/<name>-<date>.json``."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}-{datetime.date.today().isoformat()}.json"
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return path
