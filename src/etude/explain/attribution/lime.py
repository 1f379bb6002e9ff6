"""LIME: a linear model of what the language model says when tokens are missing."""

from __future__ import annotations

from typing import Annotated, Any

import annotated_types as at
import torch
from torch import Tensor

from etude.explain.attribution.attribution import Attribution
from etude.explain.attribution.occlusion import blank
from etude.explain.attribution.probe import Probe
from etude.method import method


@method("lime", task="attribution")
class Lime:
    """Fit the target's log-probability by which tokens are there, near the whole prompt most closely.

    Each token is blanked with chance one half, ``samples`` times. A sample counts by
    ``exp(-d**2 / (2 * width**2))``, where ``d`` is its cosine distance from the whole prompt. Draws from
    torch's generator.

    Parameters
    ----------
    samples : prompts with blanked tokens.
    width : of the kernel.
    ridge : weight of the squared coefficients, the intercept's left out.

    Raises
    ------
    InputError : if a field is out of range or an input cannot be used.

    Examples
    --------
    >>> import etude
    >>> model, tokenizer = etude.models.load("nano-llama")
    >>> ids = tokenizer("Mr. Harding looked at Mr. Har", return_tensors="pt")["input_ids"][0]
    >>> Lime(samples=16).attribute(model, tokenizer, ids).forwards
    17

    References
    ----------
    Ribeiro et al., ""Why Should I Trust You?": Explaining the Predictions of Any Classifier", KDD 2016.
    arXiv:1602.04938.
    """

    samples: Annotated[int, at.Ge(1)] = 500
    width: Annotated[float, at.Interval(gt=0)] = 1.0
    ridge: Annotated[float, at.Interval(gt=0)] = 1e-3

    def attribute(self, model: Any, tokenizer: Any, ids: Tensor, target: int | None = None) -> Attribution:
        """Explain the next token behind ``ids`` ``[length]``; ``target`` None is the most likely one."""
        probe = Probe(model, tokenizer, ids, target)
        there = torch.rand(self.samples, probe.length) < 0.5
        answers = probe.next(torch.where(there, probe.ids, blank(probe)))[:, probe.target].log()
        return probe.attribution(fit(there, answers, kernel(there, self.width), self.ridge))


def kernel(there: Tensor, width: float) -> Tensor:
    """What each row of ``there`` ``[samples, length]`` counts by its distance from all True."""
    similarity = (there.double().mean(1)).sqrt()  # the cosine of a 0/1 vector and all ones
    return torch.exp(-((1 - similarity) ** 2) / (2 * width**2))


def fit(there: Tensor, answers: Tensor, weights: Tensor, ridge: float) -> Tensor:
    """Coefficients ``[length]`` of the weighted ridge regression of answers on 0/1 features."""
    shares = weights / weights.sum()
    features, values = there.double(), answers.double()
    features = features - shares @ features
    values = values - shares @ values
    weighted = features * weights[:, None]
    system = weighted.T @ features + ridge * torch.eye(features.shape[1], dtype=torch.float64)
    coefficients: Tensor = torch.linalg.solve(system, weighted.T @ values)
    return coefficients
