"""Learned weights combine quantile models better than averaging, and than any model alone.

"friedman" has smooth signal and noise that grows with the first feature; five models are fitted to 1,600 of
2,000 rows, 400 calibrate the intervals, and 2,000 fresh ones judge. "planted" has two models, each right
where the other is wrong, so that weights must depend on the input. Learning tries 2 settings of the authors'
grid (they try 20) for at most 3,000 steps, in all arms.
"""

from __future__ import annotations

from typing import Any, Literal

from etude.engine.claim import AllOf, AnyOf, Claim, Inequality, Study
from etude.estimate.quantile import BestModel, Dqa, Qra, QuantileAverage
from etude.estimate.quantile.task import TASK, Inputs

SEEDS = (0, 1, 2, 3, 4)


def learned(resolution: Literal["coarse", "medium", "fine"], local: bool, **changes: Any) -> Dqa:
    """The same budget for all."""
    return Dqa(resolution=resolution, local=local, searches=2, max_steps=3000, **changes)


FRIEDMAN = Study(
    name="friedman",
    task=TASK,
    inputs=Inputs(data="friedman"),
    arms={
        "best model": BestModel(),
        "average": QuantileAverage(),
        "median": QuantileAverage(centre="median"),
        "stacking": Qra(),
        "global, medium": learned("medium", False),
        "local, medium": learned("medium", True),
        "dqa": learned("fine", True),
    },
    seeds=SEEDS,
)
PLANTED = Study(
    name="planted",
    task=TASK,
    inputs=Inputs(data="planted", rows=1000),
    arms={
        "average": QuantileAverage(),
        "stacking": Qra(),
        "global, coarse": learned("coarse", False),
        "global, medium": learned("medium", False),
        "local, coarse": learned("coarse", True),
        "local, medium": learned("medium", True),
        "dqa": learned("fine", True),
    },
    seeds=SEEDS,
)


def better(arm: str) -> AllOf:
    """Than average and median, and hardly worse than the best model."""
    return AllOf(
        *(Inequality("wis", arm, "<=", other, on=FRIEDMAN, over="mean") for other in ("average", "median")),
        Inequality("wis", arm, "<=", "best model", on=FRIEDMAN, times=1.02, over="mean"),
    )


CLAIM = Claim(
    paper="quantile-aggregation",
    statement="Weights by model, level and input score better than the average and no worse than the best.",
    studies=(FRIEDMAN, PLANTED),
    must_hold=[
        AnyOf(better("local, medium"), better("dqa")),
        Inequality("wis", "local, medium", "<", "global, medium", on=PLANTED, times=0.95, over="mean"),
        Inequality("wis", "local, coarse", "<", "global, coarse", on=PLANTED, times=0.95, over="mean"),
        Inequality("conformal_coverage", "dqa", ">=", 0.78, on=FRIEDMAN, over="mean"),
    ],
    refuted_if=[
        AllOf(
            *(
                Inequality("wis", "average", "<", arm, on=FRIEDMAN, over="mean")
                for arm in ("dqa", "local, medium")
            )
        )
    ],
    reported=[
        *(
            Inequality("wis", "dqa", "<", other, on=FRIEDMAN, over="mean", log=True)
            for other in ("best model", "average", "stacking", "global, medium", "local, medium")
        ),
        *(
            Inequality("wis", "dqa", "<", other, on=PLANTED, over="mean", log=True)
            for other in ("average", "stacking", "global, medium", "local, medium")
        ),
    ],
)
