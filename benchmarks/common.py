"""What every benchmark shares: environments of peers, jobs as processes, a table, a file of results."""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

HERE = Path(__file__).resolve().parent
SOURCES = HERE.parent / "src"
ENVIRONMENTS = HERE.parent / ".venv-peers"
RESULTS = HERE / "results"
FLAGS = ("avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd")


TEXT, BUILT_IN = "wikitext2_valid_test", "novels"
SEED = 0
SEGMENTS, SEGMENT = 16, 251
"""Held-out text: the first 16 segments of 251 tokens, 4,000 predictions."""


class Titled(Protocol):
    """A line of a table: its title, and whose work it is, "etude" or a peer's."""

    @property
    def title(self) -> str: ...
    @property
    def by(self) -> str: ...


Line = TypeVar("Line", bound=Titled)


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


def text_at_hand() -> str:
    """WikiText-2, by which the peers' published figures go, or else the built-in text."""
    from etude import InputError
    from etude.data.sets import find_set

    try:
        return TEXT if find_set(TEXT) else BUILT_IN
    except InputError:
        return BUILT_IN


def arguments(about: str | None, argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The options that the command lines of model benchmarks share."""
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--model", default="smollm2", help="whatever `etude run --model` takes")
    add("--data", default=text_at_hand(), help="whatever `etude run --data` takes")
    add("--samples", type=int, default=32, help="calibration segments")
    add("--length", type=int, default=128, help="tokens in a calibration segment")
    add("--repeats", type=int, default=1, help="runs of every line; medians are printed")
    add("--peers", action=argparse.BooleanOptionalAction, default=True, help="run peer libraries too")
    add("--only", nargs="+", metavar="WORD", help="only lines whose title holds one of these words")
    add("--json", action="store_true", help="print the results as JSON instead of tables")
    return parser.parse_args(argv)


def chosen(lines: Iterable[Line], options: argparse.Namespace) -> list[Line]:
    """The lines that the options ask for."""
    words = [word.lower() for word in options.only or [""]]
    return [
        line
        for line in lines
        if (options.peers or line.by == "etude") and any(word in line.title.lower() for word in words)
    ]


def prepare(options: argparse.Namespace, folder: Path) -> None:
    """Write what every job reads: the model as a checkpoint, calibration and evaluation tokens."""
    from safetensors.torch import save_file

    import etude

    model, tokenizer = etude.models.load(options.model)
    known = etude.data.calibration(
        options.data, tokenizer, samples=options.samples, length=options.length, seed=SEED
    )
    # The first segments, where etude.data.evaluation spreads them over the text: published figures do so.
    text = "\n".join(etude.data.load(options.data, "evaluation"))
    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt", verbose=False)["input_ids"][0]
    unseen = ids[: SEGMENTS * SEGMENT].view(SEGMENTS, SEGMENT).clone()
    etude.models.save(model, tokenizer, folder / "model")
    save_file({"input_ids": known["input_ids"]}, folder / "calibration.safetensors")
    save_file({"input_ids": unseen}, folder / "evaluation.safetensors")


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


def named(task: str, options: argparse.Namespace) -> str:
    """The name of a run's results; a part of the lines must not take the place of a whole run."""
    whole = options.only is None and options.peers
    return f"{task}-{Path(options.model).stem}" + ("" if whole else "-part")


def write_results(name: str, content: Mapping[str, Any]) -> Path:
    """Keep a run in ``results/<name>-<date>.json``."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}-{datetime.date.today().isoformat()}.json"
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return path
