"""PRESTO estimates the probability of a rare last level better than logistic steps and proportional odds.

The first study is the paper's sparse design (a third of the first weights kept, a third of the differences
present, intercepts 0, 3.5 and 5.5, so that some 0.5 % of 2,500 rows are of the last level), judged as there
by the squared error of the rare probability against the true one. "equal weights" is a control: where
proportional odds are true, little may be lost. The real sets are judged by the squared calibration error of
the rare level on a held-out tenth, as in the paper, over 9 draws (the paper takes 350 of soup).
"""

from __future__ import annotations

from etude.engine.claim import Claim, Inequality, Study
from etude.estimate.ordinal import LogisticSteps, OrdinalNet, Presto, ProportionalOdds
from etude.estimate.ordinal.task import TASK, Inputs

SEEDS = tuple(range(9))
SOUP = Inputs(
    data="ordinal_and_quantile_tabular/ordinal-soup",
    target="SURENESS",
    levels=("6", "5", "4", "3", "2", "1"),
    drop=("rownames", "RESP", "PRODID"),
)
WINE = Inputs(data="uci_regression/wine-quality-red", target="target")


def study(name: str, inputs: Inputs, presto: Presto) -> Study:
    """PRESTO, its baselines, and the penalty that knows no neighbours."""
    arms = {
        "logistic": LogisticSteps(),
        "proportional odds": ProportionalOdds(),
        "ordinalNet": OrdinalNet(n_lams=presto.n_lams, lam_min_ratio=presto.lam_min_ratio),
        "presto, ridge": Presto(n_lams=presto.n_lams, lam_min_ratio=presto.lam_min_ratio, l1_ratio=0.0),
        "presto": presto,
    }
    return Study(name=name, task=TASK, inputs=inputs, arms=arms, seeds=SEEDS)


SPARSE = study("sparse differences", Inputs(), Presto())
DENSE = study("dense differences", Inputs(data="dense-differences"), Presto())
EQUAL = study("equal weights", Inputs(data="equal-weights"), Presto())
REAL = Presto(n_lams=30, lam_min_ratio=1e-3)
ON_SOUP = study("soup", SOUP, REAL)
ON_WINE = study("wine", WINE, REAL)

BASELINES = ("proportional odds", "logistic")

CLAIM = Claim(
    paper="presto",
    statement="Where differences are sparse PRESTO's rare probability errs less than both baselines'.",
    studies=(SPARSE, DENSE, EQUAL, ON_SOUP, ON_WINE),
    must_hold=[
        *(Inequality("rare_mse", "presto", "<", other, on=SPARSE, over="mean") for other in BASELINES),
        Inequality("rare_mse", "presto", "<", "proportional odds", on=EQUAL, times=1.2, over="mean"),
    ],
    refuted_if=[Inequality("rare_mse", other, "<", "presto", on=SPARSE, over="mean") for other in BASELINES],
    reported=[
        *(
            Inequality("rare_mse", "presto", "<", other, on=on, over="mean", log=True)
            for on in (SPARSE, DENSE, EQUAL)
            for other in (*BASELINES, "ordinalNet", "presto, ridge")
        ),
        *(
            Inequality("rare_calibration", "presto", "<", other, on=on, over="mean")
            for on in (ON_SOUP, ON_WINE)
            for other in (*BASELINES, "ordinalNet")
        ),
    ],
)
