"""A path of ordinal fits with Etude, called as ``ours_ordinal.py JOB RESULT``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from etude.engine.measure import measured
from etude.estimate.ordinal.features import standardise
from etude.estimate.ordinal.likelihood import Array
from etude.estimate.ordinal.path import Problem, differences, separate

LAMS = np.logspace(0, -2, 20)
"""Of a path, as shares of its largest penalty."""


def drawn(job: dict[str, int]) -> tuple[Array, NDArray[np.intp]]:
    """Features and levels: some weights change between boundaries; probabilities are kept apart."""
    draw = np.random.default_rng(0)
    n, p = job["rows"], job["features"]
    X = draw.uniform(-1, 1, (n, p))
    changes = 0.5 * (draw.random((p, 3)) < 1 / 3) * draw.choice([-1, 1], (p, 3)) * min(1.0, (10 / p) ** 0.5)
    below = np.maximum.accumulate(expit(X @ changes.cumsum(axis=1) + (0.0, 3.5, 5.5)), axis=1)
    return X, (draw.random((n, 1)) > below).sum(axis=1)


def main() -> None:
    """Fit, and write what it took and what came out, in the units of the features."""
    job = json.loads(Path(sys.argv[1]).read_text())
    design = {"presto": differences, "ordinal-net": separate}[job["method"]](3)
    X, y = drawn(job)
    with measured() as figures:
        problem = Problem(standardise(X), y, design, np.ones(3))
        lams = problem.largest(problem.null()) * LAMS
        fits = problem.path(lams.tolist())
    result = figures | {
        "levels": np.bincount(y).tolist(),
        "lams": lams.tolist(),
        "objectives": [fit.objective for fit in fits],
        "violation": max(fit.violation for fit in fits),
        "nonzero": int(np.count_nonzero(fits[-1].psi)),
    }
    Path(sys.argv[2]).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
