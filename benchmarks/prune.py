"""Pruning beside peer libraries: CPU seconds, memory and perplexity on one model and the same files.

Every method runs in a process of its own on one thread. Etude's are set against plain passes over the
calibration tokens, timed in the same process, and against the peer that does the same work.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common import (
    HERE,
    Unavailable,
    arguments,
    chosen,
    machine,
    named,
    peer_python,
    play,
    prepare,
    table,
    write_results,
)

OURS = HERE / "ours.py"
BATCHES = (2, 4, 8, 16)
"""Segments at a time with which plain passes are tried; the best is what methods are set against."""
MEMORY_MARGIN = 0.15
Seconds = dict[str, float]


@dataclass(frozen=True)
class Entry:
    """One line of the table: a method of Etude's or of a peer's, with its settings.

    ``against`` names the plain passes that it is timed against, ``most`` the ratio it must not exceed,
    ``beside`` the peer's line that does the same work.
    """

    title: str
    method: str
    fields: dict[str, Any]
    by: str = "etude"
    against: str | None = None
    most: float | None = None
    beside: str | None = None


LC_WANDA, LC_SPARSEGPT = "llm-compressor Wanda 50 %", "llm-compressor SparseGPT 50 %"
TP_MAGNITUDE, TP_TAYLOR = "torch-pruning magnitude, MLP 20 %", "torch-pruning Taylor, MLP 20 %"
HALF, FIFTH = {"sparsity": 0.5}, {"ratio": 0.2}
# A fifth of the channels of SmolLM2's MLPs is 15 % of what its blocks hold.
MLP = {"ratio": 0.15}
FIRST_ORDER = {"taylor": "param_first", "gradient_samples": 32, "uniform": True}
ENTRIES = (
    Entry("dense", "dense", {}),
    Entry("magnitude 50 %", "magnitude", HALF),
    Entry("Wanda 50 %", "wanda", HALF, against="forward", most=1.15, beside=LC_WANDA),
    Entry("Wanda 50 %, feed=block", "wanda", {**HALF, "feed": "block"}, against="forward"),
    Entry("SparseGPT 50 %", "sparsegpt", HALF, against="forward", beside=LC_SPARSEGPT),
    Entry("GBLM 50 %", "gblm", HALF, against="backward", most=1.2),
    Entry("Wanda-sp 20 %", "wanda-sp", FIFTH, against="forward"),
    Entry("FLAP 20 %", "flap", FIFTH, against="forward", most=1.15),
    Entry("LLM-Pruner 20 %", "llm-pruner", {**FIFTH, "gradient_samples": 32}, against="backward"),
    Entry("magnitude, structured, 15 %", "magnitude-sp", MLP, beside=TP_MAGNITUDE),
    Entry("FLAP, MLP alone, 15 %", "flap", {**MLP, "structure": "UL-MM", "groups": 0}, beside=TP_TAYLOR),
    Entry(
        "LLM-Pruner, first order, 15 %",
        "llm-pruner",
        {**MLP, **FIRST_ORDER},
        against="backward",
        beside=TP_TAYLOR,
    ),
    Entry(LC_WANDA, "wanda", HALF, by="llm-compressor"),
    Entry(LC_SPARSEGPT, "sparsegpt", HALF, by="llm-compressor"),
    Entry(TP_MAGNITUDE, "magnitude", FIFTH, by="torch-pruning"),
    Entry(TP_TAYLOR, "taylor", FIFTH, by="torch-pruning"),
)


@dataclass
class Bench:
    """The files that all jobs share, and what has been measured so far."""

    folder: Path
    model: Path
    passes: dict[str, Any] = field(default_factory=dict)
    runs: dict[str, list[Seconds]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, str]:
        return {"model": str(self.model), "calibration": str(self.folder / "calibration.safetensors")}

    def measure_passes(self) -> None:
        """Time plain passes at several batch sizes, and keep the best."""
        job = {"kind": "passes", **self.files, "batches": BATCHES}
        self.passes = play(OURS, job)

    def best(self, kind: str) -> int:
        """The batch size at which plain passes are fastest."""
        seconds: Seconds = self.passes[kind]
        return int(min(seconds, key=seconds.__getitem__))

    def run(self, entry: Entry) -> None:
        """Run one line once more; its perplexity is measured the first time."""
        with tempfile.TemporaryDirectory(dir=self.folder) as out:
            pruned = str(Path(out, "pruned"))
            figures = self._prune(entry, pruned)
            before = self.runs.setdefault(entry.title, [])
            if not before:
                evaluation = str(self.folder / "evaluation.safetensors")
                figures |= play(OURS, {"kind": "judge", "model": pruned, "evaluation": evaluation})
            before.append(figures)

    def _prune(self, entry: Entry, out: str) -> dict[str, Any]:
        job = {**self.files, "method": entry.method, "fields": entry.fields, "out": out}
        if entry.by != "etude":
            batch = {"batch": self.best("backward")}
            return play(HERE / "peers" / f"{entry.by}.py", {**job, **batch}, peer_python(entry.by))
        batch = self.best(entry.against) if entry.against else None
        return play(OURS, {"kind": "prune", **job, "against": entry.against, "batch": batch})

    def seconds(self, title: str) -> float | None:
        """Median CPU seconds of a line."""
        runs = self.runs.get(title)
        return statistics.median(run["cpu_s"] for run in runs) if runs else None

    def row(self, entry: Entry) -> dict[str, Any]:
        """One line of the table."""
        runs = self.runs.get(entry.title)
        if not runs:
            return {"method": entry.title, "note": self.failures.get(entry.title)}
        own, peer = self.seconds(entry.title), self.seconds(entry.beside) if entry.beside else None
        return {
            "method": entry.title,
            "CPU s": own,
            "× passes": median_ratio(runs, entry.against) if entry.against else None,
            "of": {"forward": "forward", "backward": "forward + backward"}.get(entry.against or ""),
            "at most": entry.most,
            "× peer's time": own / peer if own is not None and peer is not None else None,
            "extra MB": round(max(run["extra_mb"] for run in runs)),
            "M parameters": round(runs[0]["parameters"] / 1e6, 1),
            "zeros %": round(100 * runs[0]["sparsity"], 1),
            "perplexity": runs[0]["perplexity"],
        }

    def memory_allowed(self) -> float:
        """MB above the loaded model: one block's activations, and 15 % of both."""
        model, activations = self.passes["model_mb"], self.passes["activations_mb"]
        return float((model + activations) * (1 + MEMORY_MARGIN) - model)


def median_ratio(runs: Sequence[Seconds], against: str) -> float:
    """Median over runs of a method's CPU seconds to those of the passes in the same process."""
    return statistics.median(run["cpu_s"] / run[f"{against}_s"] for run in runs)


def measure(bench: Bench, entries: Sequence[Entry], repeats: int) -> None:
    """Run all lines, in turn, as often as asked; what fails is noted and the rest goes on."""
    bench.measure_passes()
    for repeat in range(repeats):
        for entry in entries:
            print(f"[{repeat + 1}/{repeats}] {entry.title}", file=sys.stderr)
            try:
                bench.run(entry)
            except Unavailable as reason:
                bench.failures[entry.title] = str(reason)


NOTES = """\
CPU seconds on one thread. "× passes": against plain passes over the same tokens in the same process,
logits included, at their best batch size (forward {forward}, forward + backward {backward}).
Extra MB: peak of pruning alone, above the loaded model of {model:.0f} MB. What enters the linear layers of
one block over all calibration tokens is {activations:.0f} MB; model and that, plus 15 %, allow
{allowed:.0f} MB."""


def report(bench: Bench, entries: Sequence[Entry]) -> str:
    """The tables, and what their figures mean."""
    names = {"forward": "forward", "backward": "forward + backward"}
    sweeps = [
        {"passes, CPU s": name, **{f"batch {batch}": spent for batch, spent in bench.passes[kind].items()}}
        for kind, name in names.items()
    ]
    notes = NOTES.format(
        forward=bench.best("forward"),
        backward=bench.best("backward"),
        model=bench.passes["model_mb"],
        activations=bench.passes["activations_mb"],
        allowed=bench.memory_allowed(),
    )
    return "\n\n".join([table(sweeps), table([bench.row(entry) for entry in entries]), notes])


def main() -> None:
    """Measure, print, keep."""
    from etude import InputError

    options = arguments(__doc__)
    entries = chosen(ENTRIES, options)
    with tempfile.TemporaryDirectory() as folder:
        try:
            prepare(options, Path(folder))
            bench = Bench(Path(folder), Path(folder, "model"))
            measure(bench, entries, options.repeats)
        except (InputError, Unavailable) as error:
            sys.exit(str(error))
    rows = [bench.row(entry) for entry in entries]
    results = {
        "machine": machine(),
        "options": vars(options),
        "passes": bench.passes,
        "memory_allowed_mb": bench.memory_allowed(),
        "rows": rows,
        "runs": bench.runs,
        "failures": bench.failures,
    }
    print(json.dumps(results, indent=1, ensure_ascii=False) if options.json else report(bench, entries))
    print(f"written to {write_results(named('prune', options), results)}", file=sys.stderr)


if __name__ == "__main__":
    main()
