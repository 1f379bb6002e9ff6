"""A path of ordinal fits with Etude, called as ``ours_ordinal.py JOB RESULT``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from etude.engine.measure import measured
from etude.estimate.ordinal.designs import Drawn, dense_differences, sparse_differences
from etude.estimate.ordinal.features import standardise
from etude.estimate.ordinal.path import Problem, differences, separate

LAMS = np.logspace(0, -2, 20)
"""Of a path, as shares of its largest penalty."""


def drawn(job: dict[str, int]) -> Drawn:
    """The paper's sparse design; of many features, weights shrink so that probabilities stay apart."""
    n, p = job["rows"], job["features"]
    if p <= 20:
        return sparse_differences(n, p, intercepts=(0.0, 1.5, 3.0), seed=0)
    small = dense_differences(n, 20, intercepts=(0.0, 2.0, 4.0), seed=0)
    others = np.random.default_rng(1).uniform(-1, 1, (n, p - 20))
    return Drawn(np.hstack([small.X, others]), small.y, small.probabilities, small.coef)


def main() -> None:
    """Fit, and write what it took and what came out, in the units of the features."""
    job = json.loads(Path(sys.argv[1]).read_text())
    design = {"presto": differences, "ordinal-net": separate}[job["method"]](3)
    found = drawn(job)
    with measured() as figures:
        problem = Problem(standardise(found.X), found.y, design, np.ones(3))
        lams = problem.largest(problem.null()) * LAMS
        fits = problem.path(lams.tolist())
    result = figures | {
        "levels": np.bincount(found.y).tolist(),
        "lams": lams.tolist(),
        "objectives": [fit.objective for fit in fits],
        "violation": max(fit.violation for fit in fits),
        "nonzero": int(np.count_nonzero(fits[-1].psi)),
    }
    Path(sys.argv[2]).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
