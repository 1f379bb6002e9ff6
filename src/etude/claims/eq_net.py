"""One set of weights for all formats does about as well as training for each, and its two losses matter.

All arms start from nano-vit and train for one epoch of 5,000 images (EQ-Net keeps a tenth of them to measure
sub-networks on); "each format" stands for an LSQ+ training of its own at as many epochs. An EQ-Net epoch
takes three times as long as one of LSQ+, and serves all formats. The paper trains for 120 epochs of ImageNet.
"""

from __future__ import annotations

from dataclasses import replace

from etude.compress.quantize_vision import EqNet, LsqPlusVision, MinmaxVision
from etude.compress.quantize_vision.formats import Format
from etude.compress.quantize_vision.task import TASK, Inputs
from etude.engine.claim import Claim, Inequality, Study

TRIES = 20
TWO, THREE = "w2a2-channel-sym", ("w3a3-channel-sym", "w3a3-tensor-asym")
FORMATS = (TWO, *THREE, "w4a4-tensor-sym")

FULL = EqNet(tries=TRIES, measured=200)
LOSSES = replace(FULL, measured=0)


def dedicated(name: str) -> LsqPlusVision:
    """LSQ+ for one format."""
    form = Format.named(name)
    return LsqPlusVision(
        bits=form.bits,
        activation_bits=form.activation_bits,
        granularity=form.granularity,
        symmetric=form.symmetric,
        activation_symmetric=form.activation_symmetric,
        tries=TRIES,
    )


SMALL = Study(
    name="nano-vit",
    task=TASK,
    inputs=Inputs(epochs=1, batch=50, formats=FORMATS),
    arms={
        "eq-net": FULL,
        "no wdr": replace(LOSSES, kurtosis=0.0, skewness=0.0),
        "no gpg": replace(LOSSES, guidance=0.0),
        "neither": replace(LOSSES, kurtosis=0.0, skewness=0.0, guidance=0.0),
        **{f"lsq+ {name}": dedicated(name) for name in FORMATS},
        "lsq+ 8 bits": LsqPlusVision(tries=TRIES, others=True),
        "min-max": MinmaxVision(),
    },
)


def accurate(name: str, left: str, relation: str, right: str, plus: float = 0.0) -> Inequality:
    """In one format, on the mean over seeds."""
    return Inequality(f"accuracy_{name}", left, relation, right, on=SMALL, plus=plus, over="mean")  # type: ignore[arg-type]


FEW = tuple(f"accuracy_{name}" for name in (TWO, *THREE))

CLAIM = Claim(
    paper="eq-net",
    statement="Weights trained for all formats at once do as well, within 2 points, as training for each.",
    studies=(SMALL,),
    must_hold=[
        *(accurate(name, "eq-net", ">=", f"lsq+ {name}", plus=-2.0) for name in FORMATS if name != TWO),
        *(accurate(name, "eq-net", ">", other) for name in FORMATS for other in ("min-max", "lsq+ 8 bits")),
        accurate(TWO, "eq-net", ">", "no wdr"),
        accurate(TWO, "eq-net", ">", "no gpg"),
        Inequality("kurtosis", "eq-net", "<", "no wdr", on=SMALL),
        Inequality("kendall_tau", "eq-net", ">", 0.6, on=SMALL, over="mean"),
        Inequality("gain_of_search", "eq-net", ">=", 0.0, on=SMALL, over="mean"),
    ],
    refuted_if=[Inequality(FEW, "neither", ">=", "eq-net", on=SMALL, over="mean")],
    reported=[
        accurate(TWO, "eq-net", ">=", f"lsq+ {TWO}", plus=-2.0),
        *(accurate(name, "eq-net", ">", "neither") for name in FORMATS),
        Inequality("kurtosis", "eq-net", ">", 1.8, on=SMALL),
    ],
)
