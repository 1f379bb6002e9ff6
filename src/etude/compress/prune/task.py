"""Pruning: one language model in, a smaller or sparser one out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import annotated_types as at

from etude.compress.language import Subject
from etude.errors import InputError
from etude.method import check_fields, takes
from etude.seeds import seeded
from etude.task import Metric


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a pruning run works on.

    Parameters
    ----------
    model : a built-in model ("nano-llama", "smollm2"), a folder in Hugging Face format, or a GGUF file.
    data : text to calibrate on and, from its held-out part, to judge by: a built-in set or a file.
    domain : a second text, of one domain; its held-out perplexity is reported too.
    calibrate : which text the method sees first: "data" or "domain".
    samples : segments of calibration text.
    length : tokens in a segment, of calibration and of evaluation.
    segments : held-out segments to judge by, at most.

    Raises
    ------
    InputError : if a field has the wrong type or is out of range.
    """

    model: str = "nano-llama"
    data: str = "novels"
    domain: str | None = None
    calibrate: Literal["data", "domain"] = "data"
    samples: Annotated[int, at.Ge(1)] = 128
    length: Annotated[int, at.Ge(2)] = 128
    segments: Annotated[int, at.Ge(1)] = 128

    def __post_init__(self) -> None:
        check_fields(self)
        if self.calibrate == "domain" and self.domain is None:
            raise InputError("domain", "name the text to calibrate on, or leave calibrate at data")


@dataclass(frozen=True)
class Prune:
    """The task: methods answer to ``prune(model, calibration)`` and edit the model in place."""

    name: str = "prune"
    title: str = "pruning"
    inputs: type[Inputs] = Inputs
    metrics: tuple[Metric, ...] = (
        Metric("perplexity", "perplexity", "lower", digits=2, axis="quality"),
        Metric("domain_perplexity", "domain perplexity", "lower", digits=2, axis="quality"),
        Metric("nonzero", "non-zero", "lower", "M", digits=1, axis="cost"),
        Metric("size_mb", "size", "lower", "MB", digits=1, axis="cost"),
        Metric("tokens_per_s", "speed", "higher", "tokens/s", digits=0, axis="cost"),
        Metric("parameters", "parameters", "lower", "M", axis="cost"),
        Metric("mflops_per_token", "compute", "lower", "MFLOP/token", digits=1, axis="cost"),
    )
    baselines: tuple[str, ...] = ("dense", "magnitude")

    def open(self, inputs: Inputs) -> PruneCase:
        """Load the model once to see that it can be read, and check that the texts suffice."""
        case = PruneCase(inputs)
        case.subject.check(*case.texts.values())
        return case


class PruneCase:
    """A model and its texts, opened and checked."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs
        self.subject = Subject(
            inputs.model, length=inputs.length, samples=inputs.samples, segments=inputs.segments
        )
        self.texts = {"data": inputs.data} | ({"domain": inputs.domain} if inputs.domain else {})

    @cached_property
    def fingerprints(self) -> Mapping[str, str]:
        """Identify the model and the texts."""
        return self.subject.fingerprints(**self.texts)

    @cached_property
    def evaluations(self) -> dict[str, Any]:
        """Held-out token ids ``[segments, length]`` by metric."""
        metrics = {"data": "perplexity", "domain": "domain_perplexity"}
        return {metrics[name]: self.subject.evaluation(text) for name, text in self.texts.items()}

    def check(self, method: Any) -> None:
        """Raise `InputError` if ``method`` needs what these inputs lack, or does not fit the model."""
        if "domain" in takes(method.prune) and self.inputs.domain is None:
            raise InputError("domain", f"{method.name} needs a second text; name one with --domain")
        if hasattr(method, "check"):
            method.check(self.subject.model)

    def trial(self, seed: int) -> PruneTrial:
        """A freshly loaded model and its own draw of calibration text."""
        with seeded(seed):
            drawn = {name: self.subject.calibration(text, seed) for name, text in self.texts.items()}
            return PruneTrial(self, self.subject.fresh(), drawn)


class PruneTrial:
    """One method on one copy of the model."""

    def __init__(self, case: PruneCase, model: Any, drawn: Mapping[str, Mapping[str, Any]]) -> None:
        self.case = case
        self.model = model
        self.drawn = drawn

    def apply(self, method: Any) -> None:
        """Prune the model."""
        extra = {"domain": self.drawn["domain"]} if "domain" in takes(method.prune) else {}
        method.prune(self.model, self.drawn[self.case.inputs.calibrate], **extra)

    def score(self) -> Mapping[str, float]:
        """Held-out perplexity, and what the pruned model costs."""
        from etude.models import measure

        figures = {
            metric: measure.perplexity(self.model, tokens) for metric, tokens in self.case.evaluations.items()
        }
        length, parameters = self.case.inputs.length, measure.parameter_count(self.model)
        return figures | {
            "nonzero": measure.nonzero_fraction(self.model) * parameters / 1e6,
            "parameters": parameters / 1e6,
            "size_mb": measure.size_in_bytes(self.model) / 1e6,
            "mflops_per_token": measure.flops_per_token(self.model, length) / 1e6,
            "tokens_per_s": measure.tokens_per_second(self.model, length=length),
        }

    def save(self, folder: Path) -> None:
        """Write a checkpoint that transformers loads (`etude.models.load` where widths differ)."""
        from etude import models

        models.save(self.model, self.case.subject.tokenizer, folder)


TASK = Prune()
