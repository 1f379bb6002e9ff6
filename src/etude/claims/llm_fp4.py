"""With 4-bit weights and inputs, biases that are shifted in advance lose less than one bias for all inputs.

nano-llama has no outlier features. In nano-llama-outliers 2 % of the features behind each norm are twenty
times as large and the weights that read them as much smaller, so that the model computes the same: there the
claim is decided. "FPQ baseline" is the search without shifts; embeddings and head stay as they are.

The search tries every 16th factor of a bias, then those around the best, on 512 tokens.

nano-bert and nano-vit are reported beside: what rounding the products of their attention costs, too.
"""

from __future__ import annotations

from typing import Any

from etude.compress.quantize import FullPrecision, LlmFp4, SmoothQuant, ZeroQuant
from etude.compress.quantize.task import TASK, Inputs
from etude.engine.claim import Claim, Inequality, Study

SEARCH: dict[str, Any] = {"stride": 16, "judged": 512}
STATIC: dict[str, Any] = {"activation_bits": 4, "activation_range": "static"}
E2M1: dict[str, Any] = {"numbers": "e2m1", "activations": "e2m1"}


def arms() -> dict[str, Any]:
    """The paper's arms at W4A4; where inputs have one range each, it is fixed by the calibration."""
    return {
        "dense": FullPrecision(),
        "MinMax INT": ZeroQuant(bits=4, **STATIC),
        "MinMax FP": ZeroQuant(bits=4, **E2M1, **STATIC),
        "SmoothQuant": SmoothQuant(bits=4, **STATIC),
        "SmoothQuant, by token": SmoothQuant(bits=4, activation_bits=4),
        "FPQ baseline": LlmFp4(shift="none", **SEARCH),
        "FPQ": LlmFp4(**SEARCH),
    }


FOLDED: dict[str, Any] = {
    "FPQ, E2M1 only": LlmFp4(**E2M1, **SEARCH),
    "FPQ, exponents shifted": LlmFp4(shift="exponents", **SEARCH),
    "FPQ, weights shifted": LlmFp4(shift="weights", **SEARCH),
}
OUTLIERS = Study(
    name="nano-llama-outliers",
    task=TASK,
    inputs=Inputs(model="nano-llama-outliers", samples=32, segments=64),
    arms=arms() | FOLDED,
)
PRODUCTS: dict[str, Any] = {
    "FPQ baseline, products too": LlmFp4(shift="none", products="search", **SEARCH),
    "FPQ, products too": LlmFp4(products="search", **SEARCH),
    "FPQ, products too, 6 bits": LlmFp4(bits=6, activation_bits=6, products="search", **SEARCH),
}


def encoders() -> dict[str, Any]:
    """The arms of BERT and ViT."""
    return {label: arm for label, arm in arms().items() if not label.startswith("SmoothQuant")} | PRODUCTS


BERT = Study(
    name="nano-bert",
    task=TASK,
    inputs=Inputs(model="nano-bert", samples=32, segments=64),
    arms=encoders(),
)
VIT = Study(
    name="nano-vit",
    task=TASK,
    inputs=Inputs(model="nano-vit", data="cifar10_subset", samples=32, segments=1000),
    arms=encoders(),
)
PLAIN = Study(name="nano-llama", task=TASK, inputs=Inputs(samples=32, segments=64), arms=arms())

CLAIM = Claim(
    paper="llm-fp4",
    statement="At W4A4 with outliers, pre-shifted biases close 40 % of the gap that the search leaves.",
    studies=(OUTLIERS, PLAIN, BERT, VIT),
    must_hold=[
        Inequality("perplexity", "FPQ", "<", "FPQ baseline", on=OUTLIERS),
        *(
            Inequality("perplexity", "FPQ baseline", "<", other, on=OUTLIERS)
            for other in ("MinMax INT", "MinMax FP")
        ),
        Inequality("perplexity", "FPQ", "<=", "FPQ baseline", on=OUTLIERS, above="dense", times=0.6),
    ],
    refuted_if=[Inequality("perplexity", "FPQ baseline", "<=", "FPQ", on=OUTLIERS, over=2)],
    reported=[
        *(
            Inequality("perplexity", "FPQ", "<", other, on=on, log=True)
            for on in (OUTLIERS, PLAIN)
            for other in ("SmoothQuant", "SmoothQuant, by token")
        ),
        Inequality("perplexity", "FPQ", "<", "FPQ baseline", on=PLAIN, log=True),
        *(
            Inequality("perplexity", label, "<=", "FPQ", on=OUTLIERS, log=True, over="mean")
            for label in FOLDED
        ),
        *(
            inequality
            for what in ("", ", products too")
            for inequality in (
                Inequality(
                    "pseudo_perplexity", f"FPQ{what}", "<", f"FPQ baseline{what}", on=BERT, over="mean"
                ),
                Inequality("accuracy", f"FPQ{what}", ">", f"FPQ baseline{what}", on=VIT, over="mean"),
            )
        ),
    ],
)
