"""OFQ's parts raise the accuracy of a transformer of 2-bit weights and activations, and calm its weights.

All arms start from nano-vit, see the same augmented batches for as many steps, have the same rounding of
activations and the same teacher. Steps are few (four epochs of 5,000 images, where the paper has 300 of 1.3
million), so that a quarter of them goes to the annealing: a weight's oscillation is remembered for 69 steps,
and the last share is to be that of the annealing alone.
"""

from __future__ import annotations

from etude.compress.quantize_vision import FullPrecisionVision, LsqVision, MinmaxVision, Ofq
from etude.compress.quantize_vision.task import TASK, Inputs
from etude.engine.claim import Claim, Inequality, Study

SMALL = Study(
    name="nano-vit, W2A2",
    task=TASK,
    inputs=Inputs(epochs=4, batch=50),
    arms={
        "full precision": FullPrecisionVision(),
        "min-max": MinmaxVision(bits=2, activation_bits=2),
        "lsq": LsqVision(),
        "statsq": Ofq(reparameterise=False, annealing=0.0),
        "statsq + qkr": Ofq(annealing=0.0),
        "ofq": Ofq(annealing=0.25),
    },
)


def accurate(left: str, relation: str, right: str) -> Inequality:
    """On the mean over seeds."""
    return Inequality("accuracy", left, relation, right, on=SMALL, over="mean")  # type: ignore[arg-type]


CLAIM = Claim(
    paper="ofq",
    statement="At 2 bits accuracy rises from LSQ to StatsQ, QKR and annealing, and fewer weights oscillate.",
    studies=(SMALL,),
    must_hold=[
        accurate("statsq", ">", "lsq"),
        accurate("statsq + qkr", ">=", "statsq"),
        accurate("ofq", ">=", "statsq + qkr"),
        Inequality("oscillating", "statsq", "<", "lsq", on=SMALL),
        Inequality("oscillating_at_end", "ofq", "<", "statsq + qkr", on=SMALL, times=0.5),
    ],
    refuted_if=[
        accurate("lsq", ">=", "ofq"),
        Inequality("oscillating", "statsq", ">", "lsq", on=SMALL, over=2),
    ],
    reported=[
        accurate("ofq", ">", "lsq"),
        accurate("ofq", ">", "min-max"),
        accurate("ofq", ">", "full precision"),
        Inequality("oscillating", "statsq + qkr", "<", "statsq", on=SMALL),
    ],
)
