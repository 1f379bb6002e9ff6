"""Quantisation beside peer libraries: CPU seconds and perplexity of quantising, speed and memory of decoding.

Every line runs in a process of its own on one thread, on the same model, calibration and held-out text.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
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
RTN4, GPTQ4, AWQ4 = "RTN 4 bits", "GPTQ 4 bits", "AWQ 4 bits"
LC_GPTQ, LC_AWQ, AUTO_ROUND = "llm-compressor GPTQ 4 bits", "llm-compressor AWQ 4 bits", "auto-round 4 bits"
PACKED, GGUF, ORIGINAL = "packed", "our GGUF", "the original GGUF"
FLOAT32 = "float32"


@dataclass(frozen=True)
class Entry:
    """One line of the first table: who quantises how.

    ``beside`` names the peer's line that does the same work, ``most`` the share of its time allowed.
    """

    title: str
    method: str
    fields: Mapping[str, Any]
    by: str = "etude"
    beside: str | None = None
    most: float | None = None


@dataclass(frozen=True)
class Decode:
    """One line of the second table: which weights are decoded from, and by what.

    ``source`` is "model", or the title of a line of the first table, or that of a file. ``kernel`` is one
    of Etude's, "dense" for decoded weights, or "llama.cpp".
    """

    title: str
    source: str
    kernel: str
    precision: str = "float32"
    beside: str | None = FLOAT32
    least: float | None = None

    @property
    def by(self) -> str:
        return "llama.cpp" if self.kernel == "llama.cpp" else "etude"


FOUR = {"bits": 4, "group": 64, "symmetric": True}
THREE = {"bits": 3, "group": 64, "symmetric": True}
ENTRIES = (
    Entry(RTN4, "rtn", FOUR),
    Entry(GPTQ4, "gptq", FOUR, beside=LC_GPTQ, most=0.7),
    Entry("GPTQ 4 bits, act_order", "gptq", {**FOUR, "act_order": True, "static_groups": True}),
    Entry(AWQ4, "awq", FOUR, beside=LC_AWQ, most=0.25),
    Entry("AWQ 4 bits, asymmetric", "awq", {"bits": 4, "group": 64}),
    Entry("RTN 3 bits", "rtn", THREE),
    Entry("GPTQ 3 bits", "gptq", THREE),
    Entry("AWQ 3 bits", "awq", THREE),
    Entry(
        "FlexRound 4 bits",
        "flexround",
        {**FOUR, "batch": 4, "iterations": 12, "search": "error", "lr": 0.01},
        beside=AUTO_ROUND,
    ),
    Entry(LC_GPTQ, "gptq", FOUR, by="llm-compressor"),
    Entry(LC_AWQ, "awq", FOUR, by="llm-compressor"),
    Entry(AUTO_ROUND, "auto-round", {**FOUR, "iterations": 10}, by="auto-round"),
)
DECODES = (
    Decode(FLOAT32, "model", "dense", beside=None),
    Decode("bfloat16", "model", "dense", "bfloat16"),
    Decode(f"{PACKED}, auto", GPTQ4, "auto", least=1.0),
    Decode(f"{PACKED}, exact", GPTQ4, "exact", least=1.0),
    Decode(f"{PACKED}, nbits-int8", GPTQ4, "nbits-int8"),
    Decode(f"{PACKED}, int4pack", GPTQ4, "int4pack"),
    Decode(f"{PACKED}, int8", GPTQ4, "int8"),
    Decode(f"llama.cpp, {GGUF}", GGUF, "llama.cpp", beside=f"llama.cpp, {ORIGINAL}", least=1.0),
    Decode(f"llama.cpp, {ORIGINAL}", ORIGINAL, "llama.cpp"),
)


@dataclass
class Bench:
    """The files that all jobs share, and what has been measured so far."""

    folder: Path
    original: Path | None
    runs: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, str]:
        names = ("calibration", "evaluation")
        return {"model": str(self.folder / "model")} | {
            name: str(self.folder / f"{name}.safetensors") for name in names
        }

    def quantise(self, entry: Entry) -> None:
        """Run a line of the first table once more; its perplexity is measured the first time."""
        before = self.runs.setdefault(entry.title, [])
        out = self.folder / f"{entry.title} {len(before)}"
        job = {**self.files, "method": entry.method, "fields": entry.fields, "out": str(out)}
        if entry.by == "etude":
            figures = play(OURS, {"kind": "quantize", **job})
        else:
            figures = play(
                HERE / "peers" / f"{entry.by}.py", {"kind": "quantize", **job}, peer_python(entry.by)
            )
        if not before:
            figures |= play(OURS, {"kind": "judge", **self.files, "model": str(out)})
        before.append(figures)

    def decode(self, line: Decode) -> None:
        """Run a line of the second table once more; its perplexity is measured the first time."""
        before = self.runs.setdefault(line.title, [])
        job = {**self.files, "model": str(self._source(line)), "judge": not before}
        if line.kernel == "llama.cpp":
            before.append(play(HERE / "peers" / "llama-cpp.py", job))
        else:
            settings = {"kernel": line.kernel, "precision": line.precision}
            before.append(play(OURS, {"kind": "decode", **job, **settings}))

    def _source(self, line: Decode) -> Path:
        if line.source == "model":
            return self.folder / "model"
        if line.source == ORIGINAL:
            if self.original is None:
                raise Unavailable("the model is no GGUF file")
            return self.original
        if line.source == GGUF:
            return self.folder / f"{GPTQ4} 0 gguf" / "model.gguf"
        return self.folder / f"{line.source} 0"

    def median(self, title: str | None, figure: str) -> float | None:
        """A figure of a line, over its runs."""
        runs = self.runs.get(title or "")
        return statistics.median(run[figure] for run in runs) if runs else None

    def quantised_row(self, entry: Entry) -> dict[str, Any]:
        """One line of the first table."""
        runs = self.runs.get(entry.title)
        if not runs:
            return {"method": entry.title, "note": self.failures.get(entry.title)}
        return {
            "method": entry.title,
            "CPU s": self.median(entry.title, "cpu_s"),
            "× peer's time": ratio(self.median(entry.title, "cpu_s"), self.median(entry.beside, "cpu_s")),
            "at most": entry.most,
            "extra MB": round(max(run["extra_mb"] for run in runs)),
            "perplexity": runs[0]["perplexity"],
        }

    def decoded_row(self, line: Decode) -> dict[str, Any]:
        """One line of the second table."""
        runs = self.runs.get(line.title)
        if not runs:
            return {"weights": line.title, "note": self.failures.get(line.title)}
        return {
            "weights": line.title,
            "decode tokens/s": self.median(line.title, "decode"),
            "×": ratio(self.median(line.title, "decode"), self.median(line.beside, "decode")),
            "of": line.beside,
            "at least": line.least,
            "prompt tokens/s": runs[0].get("prompt"),
            "weights MB": runs[0]["weights_mb"],
            "perplexity": runs[0].get("perplexity"),
            "kernels": runs[0].get("kernels"),
        }


def ratio(one: float | None, other: float | None) -> float | None:
    """One figure to another, if both are there."""
    return one / other if one is not None and other is not None else None


def measure(
    bench: Bench, entries: Sequence[Entry], lines: Sequence[Decode], options: argparse.Namespace
) -> dict[str, Any]:
    """Run all lines, in turn, as often as asked; what fails is noted and the rest goes on.

    The results are written after every line: what was measured outlives an interruption.
    """
    results: dict[str, Any] = {"machine": machine(), "options": vars(options)}
    for repeat in range(options.repeats):
        jobs = [(entry.title, bench.quantise, entry) for entry in entries]
        for title, run, what in [*jobs, *((line.title, bench.decode, line) for line in lines)]:
            print(f"[{repeat + 1}/{options.repeats}] {title}", file=sys.stderr)
            try:
                run(what)  # type: ignore[arg-type]
            except Unavailable as reason:
                bench.failures[title] = str(reason)
            results |= {
                "quantising": [bench.quantised_row(entry) for entry in entries],
                "decoding": [bench.decoded_row(line) for line in lines],
                "runs": bench.runs,
                "failures": bench.failures,
            }
            write_results(named("quantize", options), results)
    return results


NOTES = """\
CPU seconds on one thread. Perplexity: of 16 segments of 251 tokens of held-out text, by Etude on the
checkpoint as it was written; in the second table of 4 of them, with the weights and kernels of the line.
Speed: tokens a CPU second, one after the other with a cache behind a prompt of 32 tokens, and of a prompt
of 128 tokens."""


def main() -> None:
    """Measure, print, keep."""
    from etude import InputError
    from etude.models.loading import locate

    options = arguments(__doc__)
    entries, lines = chosen(ENTRIES, options), chosen(DECODES, options)
    with tempfile.TemporaryDirectory() as folder:
        try:
            prepare(options, Path(folder))
            file = locate(options.model)
        except (InputError, Unavailable) as error:
            sys.exit(str(error))
        bench = Bench(Path(folder), file if file.is_file() else None)
        results = measure(bench, entries, lines, options)
    report = "\n\n".join(
        [*(table(results[part]) for part in ("quantising", "decoding") if results[part]), NOTES]
    )
    print(json.dumps(results, indent=1, ensure_ascii=False) if options.json else report)


if __name__ == "__main__":
    main()
