"""D-Pruner serves a domain better than pruning on general text, and keeps more than a domain's Taylor score.

Novels stand for general text; abstracts on genetic diseases and broadcast news for two domains. Calibration
and evaluation never share documents.

nano-llama has seen nothing but novels. To it a domain is unknown text, not knowledge that a mask could
spare: what its studies tell is whether a method finds the weights on which unknown text leans. SmolLM2 knows
both domains, and is the model on which the paper's question is put as it is meant.

What came of it: on nano-llama all that must hold does, in every seed. On SmolLM2 D-Pruner serves abstracts
better than Wanda on general text in every seed, news in two of three; it keeps more in all than the Taylor
score that does not descend on news in every seed, on abstracts on average. Wanda on the domain keeps more
than either, and SparseGPT on the domain, which moves the weights that stay, most. Nothing in the method as
published holds on to the general text: lambda = 0.1 moves less than one in a million of the removed weights.
"""

from __future__ import annotations

from typing import Any

from etude.compress.prune import DPruner, Magnitude, SparseGPT, Wanda
from etude.compress.prune.task import TASK, Inputs
from etude.engine.claim import AllOf, Arm, Claim, Inequality, Study

SEEDS = (0, 1, 2)
BOTH = ("domain_perplexity", "perplexity")
DOMAINS = {"abstracts": "ncbi_disease", "news": "abc_news_2006"}


def study(name: str, inputs: Inputs, **training: Any) -> Study:
    """The arms of the check at half the weights; ``training`` are fields of the descent on the domain."""
    arms = {
        "magnitude": Magnitude(),
        "wanda on general": Wanda(),
        "wanda on domain": Arm(Wanda(), calibrate="domain"),
        "sparsegpt on general": SparseGPT(),
        "sparsegpt on domain": Arm(SparseGPT(), calibrate="domain"),
        "taylor on domain": DPruner(regularisation=0.0, rate=0.0, **training),
        "d-pruner, lambda 0": DPruner(regularisation=0.0, **training),
        "d-pruner": DPruner(**training),
    }
    return Study(name=name, task=TASK, inputs=inputs, arms=arms, seeds=SEEDS)


NANO = [
    study(f"nano-llama, {name}", Inputs(domain=domain, samples=150, segments=128), epochs=2)
    for name, domain in DOMAINS.items()
]
SMOL = [
    study(f"smollm2, {name}", Inputs(model="smollm2", domain=domain, samples=40, segments=24))
    for name, domain in DOMAINS.items()
]
STUDIES = (*NANO, *SMOL)


def must_hold(on: Study) -> list[Inequality]:
    """What the paper asserts: of the domain, of domain and general text together, and of lambda."""
    return [
        Inequality("domain_perplexity", "d-pruner", "<", "wanda on general", on=on),
        Inequality(BOTH, "d-pruner", "<", "taylor on domain", on=on),
        Inequality("perplexity", "d-pruner", "<=", "d-pruner, lambda 0", on=on, times=1.001),
    ]


def refuted_if(on: Study) -> AllOf:
    """Wanda, simply calibrated on the domain, is better on both texts."""
    return AllOf(*(Inequality(metric, "wanda on domain", "<", "d-pruner", on=on) for metric in BOTH))


def reported(on: Study) -> list[Inequality]:
    """Where D-Pruner stands beside SparseGPT and magnitude, and what the descent brings."""
    return [
        Inequality(BOTH, "d-pruner", "<", "sparsegpt on domain", on=on),
        Inequality(BOTH, "d-pruner", "<", "magnitude", on=on),
        Inequality("domain_perplexity", "d-pruner", "<", "taylor on domain", on=on),
        Inequality("domain_perplexity", "wanda on domain", "<", "wanda on general", on=on),
    ]


CLAIM = Claim(
    paper="d-pruner",
    statement="D-Pruner serves a domain better than pruning on general text does, and keeps more in all than "
    "a Taylor score of the domain alone.",
    studies=STUDIES,
    must_hold=[inequality for on in STUDIES for inequality in must_hold(on)],
    refuted_if=[refuted_if(on) for on in STUDIES],
    reported=[inequality for on in STUDIES for inequality in reported(on)],
)
