"""ReAGent beside inseq's on the same model and prompts: sequences a token, CPU seconds, agreement.

Both explain the model's own next token with the same settings, each in a process of its own on one thread.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common import HERE, Unavailable, machine, peer_python, play, table, write_results

OURS = HERE / "ours_explain.py"
SEED, OTHER_SEED = 0, 1
FIELDS = {"ratio": 0.3, "top_n": 5, "top_k": 3}
"""Of inseq's defaults."""
ANY, ALIKE = {"proposal": "uniform"}, {"proposal": "shape"}


def prompts_of(name: str, tokenizer: Any, count: int, length: int) -> list[str]:
    """Beginnings of held-out segments, as text that comes back as the same tokens."""
    import etude

    ids = etude.data.evaluation("novels", tokenizer, length=length, segments=count)
    return [tokenizer.decode(row) for row in ids]


def jobs(model: str, prompts: Sequence[str], steps: int, probes: int) -> dict[str, dict[str, Any]]:
    """What is run, by the line's title."""
    common = {"model": model, "prompts": list(prompts), "seed": SEED, "method": "reagent"}
    fields = {**FIELDS, "steps": steps, "probes": probes}
    return {
        "etude, any token": {**common, "fields": fields | ANY},
        "etude, any token, another seed": {**common, "fields": fields | ANY, "seed": OTHER_SEED},
        "etude, tokens that look alike": {**common, "fields": fields | ALIKE},
        "inseq, any token": {**common, "fields": fields},
        "inseq, any token, another seed": {**common, "fields": fields, "seed": OTHER_SEED},
    }


def run(title: str, job: Mapping[str, Any]) -> dict[str, Any]:
    """One line, in the environment that it needs."""
    if title.startswith("inseq"):
        return play(HERE / "peers" / "inseq-reagent.py", job, peer_python("inseq"))
    return play(OURS, job)


def rank_correlation(left: Sequence[float], right: Sequence[float]) -> float:
    """Spearman's, of scores without ties."""
    places = [
        {i: rank for rank, i in enumerate(sorted(range(len(each)), key=each.__getitem__))}
        for each in (left, right)
    ]
    n = len(left)
    squares = sum((places[0][i] - places[1][i]) ** 2 for i in range(n))
    return 1 - 6 * squares / (n * (n**2 - 1))


def row(title: str, found: Mapping[str, Any], reference: Mapping[str, Any]) -> dict[str, Any]:
    """One line of the table; correlations are with the reference, prompt by prompt."""
    pairs = [
        (ours, theirs)
        for ours, theirs in zip(found["scores"], reference["scores"], strict=True)
        if len(ours) == len(theirs) and all(score == score for score in (*ours, *theirs))
    ]
    return {
        "line": title,
        "sequences a token": found["sequences"] / len(found["scores"]),
        "CPU s a token": statistics.fmean(found["cpu_s"]),
        "CPU ms a sequence": 1000 * sum(found["cpu_s"]) / found["sequences"],
        "rank correlation with inseq": statistics.fmean(rank_correlation(*pair) for pair in pairs)
        if pairs
        else None,
        "prompts without scores": sum(any(s != s for s in scores) for scores in found["scores"]),
    }


def arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--model", default="nano-llama", help="whatever `etude run --model` takes")
    add("--prompts", type=int, default=10, help="held-out beginnings")
    add("--length", type=int, default=20, help="tokens of each")
    add("--probes", type=int, default=16, help="probes side by side; 16 are inseq's default")
    add("--steps", type=int, default=100, help="probe steps at most")
    return parser.parse_args()


def main() -> None:
    """Measure, print, keep."""
    import etude

    options = arguments()
    with tempfile.TemporaryDirectory() as folder:
        model, tokenizer = etude.models.load(options.model)
        etude.models.save(model, tokenizer, Path(folder) / "model")
        prompts = prompts_of("novels", tokenizer, options.prompts, options.length)
        found, failures = {}, {}
        for title, job in jobs(f"{folder}/model", prompts, options.steps, options.probes).items():
            print(title, file=sys.stderr)
            try:
                found[title] = run(title, job)
            except Unavailable as reason:
                failures[title] = str(reason)
    reference = found.get("inseq, any token") or next(iter(found.values()))
    rows = [row(title, each, reference) for title, each in found.items()]
    rows += [{"line": title, "note": reason} for title, reason in failures.items()]
    results = {"machine": machine(), "options": vars(options), "rows": rows, "runs": found}
    print(table(rows))
    path = write_results(f"explain-{Path(options.model).name}", results)
    print(f"written to {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
