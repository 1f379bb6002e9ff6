"""Estimators: speed and memory of a path of ordinal fits beside R's ordinalNet; quantile models on real sets.

python benchmarks/estimate.py ordinal     a path of 20 penalties, n = 100,000, p = 200; beside R on small ones
python benchmarks/estimate.py quantile    ten splits of UCI sets: score, coverage and width of all
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common import HERE, Unavailable, last_line, machine, play, table, write_results

OURS = HERE / "ours_ordinal.py"
SIZES = ((2_500, 10), (5_000, 20))
"""Rows and features at which R is run too; at the full size it takes hours."""
FULL = (100_000, 200)
SECONDS, MEGABYTES = 60.0, 2000.0
"""What a path at full size may take."""
SETS = ("yacht", "energy", "concrete")
MODELS = ("linear", "forest", "neighbours")


def ordinal(sizes: Sequence[tuple[int, int]]) -> list[dict[str, Any]]:
    """A line for each method and size."""
    rows = []
    for n, p in sizes:
        job = {"rows": n, "features": p}
        for method in ("presto", "ordinal-net"):
            ours = play(OURS, job | {"method": method})
            line = {"method": method, "n": n, "p": p, "CPU s": ours["cpu_s"], "extra MB": ours["extra_mb"]}
            line["optimality"] = f"{ours['violation']:.0e}"
            if method == "ordinal-net" and (n, p) in SIZES:
                line |= beside_r(job, ours)
            rows.append(line)
    return rows


def beside_r(job: dict[str, int], ours: dict[str, Any]) -> dict[str, Any]:
    """R's seconds, how many times ours, and our objective less theirs: the largest of the path."""
    try:
        spent, theirs = run_r(job, ours["lams"])
    except Unavailable as reason:
        return {"R": str(reason)}
    gap = max(our - their for our, their in zip(ours["objectives"], theirs, strict=True))
    return {"R, CPU s": spent, "times faster": spent / ours["cpu_s"], "objective less R's": f"{gap:.0e}"}


def run_r(job: dict[str, int], lams: Sequence[float]) -> tuple[float, list[float]]:
    """CPU seconds and objectives of ordinalNet."""
    from ours_ordinal import drawn

    from etude.estimate.ordinal.likelihood import Rows

    if shutil.which("Rscript") is None:
        raise Unavailable("R is not installed")
    X, y = drawn(job)
    with tempfile.TemporaryDirectory() as folder:
        files = [str(Path(folder, name)) for name in ("rows.csv", "penalties.txt", "result.csv")]
        names = ",".join([*(f"x{j}" for j in range(job["features"])), "level"])
        np.savetxt(files[0], np.column_stack([X, y]), delimiter=",", header=names, comments="")
        np.savetxt(files[1], np.asarray(lams))
        command = ["Rscript", str(HERE / "peers" / "ordinalnet.R"), *files]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise Unavailable(last_line(done.stderr))
        result = np.loadtxt(files[2], delimiter=",")
    objectives = []
    for lam, (intercepts, weights) in zip(lams, ((r[1:4], r[4:]) for r in result), strict=True):
        coef = weights.reshape(3, -1).T
        loss = Rows.at(X @ coef + intercepts, y).loss()
        objectives.append(loss + lam * float(np.abs(coef * X.std(axis=0)[:, None]).sum()))
    return float(result[0, 0]), objectives


def quantile(
    sets: Sequence[str], splits: int, models: Sequence[str], words: Sequence[str], budget: dict[str, Any]
) -> list[dict[str, Any]]:
    """A line for each set and way to combine: means over the splits."""
    import etude
    from etude.estimate.quantile import BestModel, Dqa, Qra, QuantileAverage

    arms = {
        "best model": BestModel(),
        "average": QuantileAverage(),
        "median": QuantileAverage(centre="median"),
        "stacking": Qra(),
        "global, medium": Dqa(resolution="medium", local=False, **budget),
        "local, medium": Dqa(resolution="medium", **budget),
        "local, fine (dqa)": Dqa(**budget),
    }
    arms = {title: arm for title, arm in arms.items() if any(word in title for word in words)}
    rows = []
    for name in sets:
        found = etude.compare(
            list(arms.values()),
            seeds=splits,
            baselines=False,
            jobs=1,
            keep="none",
            data=f"uci_regression/{name}",
            target="target",
            models=tuple(models),
        )
        for title, row in zip(arms, found.rows(), strict=True):
            figures = {key: figure.mean for key, figure in row.figures.items()}
            rows.append(
                {
                    "set": name,
                    "way": title,
                    "WIS": figures["wis"],
                    "of best": figures["relative_wis"],
                    "covers": figures["coverage"],
                    "width": figures["width"],
                    "calibrated, covers": figures["conformal_coverage"],
                    "calibrated, width": figures["conformal_width"],
                }
            )
    return rows


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("ordinal", "quantile"))
    parser.add_argument("--sets", nargs="+", default=SETS, help="UCI sets (quantile)")
    parser.add_argument("--splits", type=int, default=10, help="splits of each set (quantile)")
    parser.add_argument("--models", nargs="+", default=MODELS, help="base models (quantile)")
    parser.add_argument("--only", nargs="+", default=[""], help="ways whose title holds a word (quantile)")
    parser.add_argument("--searches", type=int, default=1, help="settings tried for weights (quantile)")
    parser.add_argument("--steps", type=int, default=1500, help="steps for each, at most (quantile)")
    parser.add_argument("--sizes", choices=("small", "full", "all"), default="all", help="which (ordinal)")
    options = parser.parse_args()
    if options.what == "ordinal":
        rows = ordinal({"small": SIZES, "full": (FULL,), "all": (*SIZES, FULL)}[options.sizes])
    else:
        budget = {"searches": options.searches, "max_steps": options.steps}
        rows = quantile(options.sets, options.splits, options.models, options.only, budget)
    print(table(rows))
    if options.what == "ordinal":
        print(f"\nAt n = 100,000 and p = 200 a path may take {SECONDS:.0f} s and {MEGABYTES:.0f} MB.")
    written = write_results(f"estimate-{options.what}", {"machine": machine(), "rows": rows})
    print(f"written to {written}", file=sys.stderr)


if __name__ == "__main__":
    main()
