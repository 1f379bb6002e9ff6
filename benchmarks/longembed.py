"""Six kinds of long documents, read by one encoder in every way: nDCG by length and by set, and their mean.

Pass keys and needles are hidden in documents of each length (accuracy of the first place, mean over lengths);
the other four are real documents in the place of LongEmbed's own (nDCG@10), as `etude.search.long.sets` says.
What cannot be had here is left out, and its cell is a dash.

    python benchmarks/longembed.py                  # all-MiniLM-L6-v2, stretched to 2,048 tokens
    python benchmarks/longembed.py --model DIR --target 32768 --lengths 256,512,1024,2048,4096,8192,32768
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

from common import machine, table, write_results

DATA = ("passkey", "needle", "novels", "keyphrases", "xquad", "routes")
SEED = 0


def methods(rotary: bool) -> dict[str, Any]:
    """Every way to read a long text with an encoder of one kind of positions."""
    from etude.search import long

    common = {
        "truncation": long.Truncation(),
        "MaxP": long.MaxPassage(),
        "late chunking": long.LateChunking(),
        "parallel windows": long.ParallelWindows(),
        "grouped": long.GroupedPositions(),
        "recurrent": long.RecurrentPositions(),
        "interpolated": long.PositionInterpolation(),
    }
    return common | ({"ntk": long.NTK(), "self-extend": long.SelfExtend()} if rotary else {})


def figures(case: Any, method: Any) -> dict[str, float]:
    """What a method finds, and the CPU seconds that it took."""
    from etude.seeds import seeded

    with seeded(SEED):
        trial = case.trial(SEED)
        begun = time.process_time()
        trial.apply(method)
        return dict(trial.score()) | {"cpu_s": time.process_time() - begun}


def row(name: str, by_set: dict[str, dict[str, float]], lengths: Sequence[int]) -> dict[str, Any]:
    """One line of the table; the mean is over the six sets, and only where there are all."""
    keys = by_set.get("passkey", {})
    found = {data: each["found"] for data, each in by_set.items()}
    return {
        "method": name,
        **{f"key {length}": keys.get(f"at_{length}") for length in lengths},
        **{data: found.get(data) for data in DATA},
        "mean": statistics.fmean(found.values()) if len(found) == len(DATA) else None,
        "CPU s": sum(each["cpu_s"] for each in by_set.values()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--target", type=int, default=2048)
    parser.add_argument("--lengths", default="256,512,1024,2048")
    parser.add_argument("--documents", type=int, default=20)
    parser.add_argument("--data", default=",".join(DATA))
    parser.add_argument("--only", default="", help="methods, divided by commas; all by default")
    arguments = parser.parse_args()

    import torch

    from etude import InputError
    from etude.search.long.attention import frequencies
    from etude.search.long.task import TASK, Inputs

    torch.set_num_threads(1)
    lengths = [int(length) for length in arguments.lengths.split(",")]
    found: dict[str, dict[str, dict[str, float]]] = {}
    for data in arguments.data.split(","):
        inputs = Inputs(
            model=arguments.model,
            data=data,
            target=arguments.target,
            lengths=tuple(lengths),
            documents=arguments.documents,
            queries=arguments.documents,
        )
        try:
            case = TASK.open(inputs)
        except InputError as error:
            print(f"{data}: {error}", file=sys.stderr)
            continue
        rotary = frequencies(case.encoder(SEED).model) is not None
        wanted = arguments.only.split(",") if arguments.only else list(methods(rotary))
        for name in wanted:
            found.setdefault(name, {})[data] = figures(case, methods(rotary)[name])
            print(f"{data}, {name}: {found[name][data]['found']:.3f}", file=sys.stderr)
    rows = [row(name, by_set, lengths) for name, by_set in found.items()]
    print(table(rows))
    settings = {name: str(value) for name, value in vars(arguments).items()}
    write_results("longembed", {"machine": machine(), "settings": settings, "rows": rows})


if __name__ == "__main__":
    main()
