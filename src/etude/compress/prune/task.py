"""Pruning: one language model in, a smaller or sparser one out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import annotated_types as at

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
        Metric("nonzero", "non-zero", "lower", "M", axis="cost"),
        Metric("size_mb", "size", "lower", "MB", digits=1, axis="cost"),
        Metric("tokens_per_s", "speed", "higher", "tokens/s", digits=0, axis="cost"),
        Metric("parameters", "parameters", "lower", "M", axis="cost"),
        Metric("mflops_per_token", "compute", "lower", "MFLOP/token", digits=1, axis="cost"),
    )
    baselines: tuple[str, ...] = ("dense", "magnitude")

    def open(self, inputs: Inputs) -> PruneCase:
        """Load the model once to see that it can be read, and check that the texts suffice."""
        case = PruneCase(inputs)
        case.check_inputs()
        return case


class PruneCase:
    """A model and its texts, opened and checked."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs

    @cached_property
    def tokenizer(self) -> Any:
        return self._first_load[1]

    @cached_property
    def _first_load(self) -> tuple[Any, Any]:
        from etude import models

        model, tokenizer = models.load(self.inputs.model)
        if tokenizer is None:
            raise InputError("model", f"{self.inputs.model} has no tokenizer; save one beside the weights")
        if not model.can_generate():
            kind = type(model).__name__
            raise InputError(
                "model", f"{self.inputs.model} is a {kind}; pruning is judged on causal language models"
            )
        return model, tokenizer

    @cached_property
    def fingerprints(self) -> Mapping[str, str]:
        from etude import data
        from etude.models.fingerprint import fingerprint

        found = {"model": fingerprint(self.inputs.model), "data": data.fingerprint(self.inputs.data)}
        if self.inputs.domain is not None:
            found["domain"] = data.fingerprint(self.inputs.domain)
        return found

    @cached_property
    def evaluations(self) -> dict[str, Any]:
        """Held-out token ids ``[segments, length]`` by metric."""
        from etude import data

        texts = {"perplexity": self.inputs.data, "domain_perplexity": self.inputs.domain}
        return {
            metric: data.evaluation(
                text, self.tokenizer, length=self.inputs.length, segments=self.inputs.segments
            )
            for metric, text in texts.items()
            if text is not None
        }

    def calibration(self, text: str, seed: int) -> Mapping[str, Any]:
        """Forward arguments, each ``[samples, length]``."""
        from etude import data

        return data.calibration(
            text, self.tokenizer, samples=self.inputs.samples, length=self.inputs.length, seed=seed
        )

    def check_inputs(self) -> None:
        """Raise `InputError` for a model or text that cannot be used."""
        model, _ = self._first_load
        limit = getattr(model.config, "max_position_embeddings", None)
        if limit is not None and self.inputs.length > limit:
            raise InputError(
                "length", f"{self.inputs.length} tokens; {self.inputs.model} takes at most {limit}"
            )
        for text in (self.inputs.data, self.inputs.domain):
            if text is not None:
                self.calibration(text, seed=0)
        _ = self.evaluations

    def check(self, method: Any) -> None:
        """Raise `InputError` if ``method`` needs what these inputs lack, or does not fit the model."""
        if "domain" in takes(method.prune) and self.inputs.domain is None:
            raise InputError("domain", f"{method.name} needs a second text; name one with --domain")
        if hasattr(method, "check"):
            method.check(self._first_load[0])

    def trial(self, seed: int) -> PruneTrial:
        """A freshly loaded model and its own draw of calibration text."""
        from etude import models

        model, _ = models.load(self.inputs.model)
        chosen = self.inputs.data if self.inputs.calibrate == "data" else self.inputs.domain
        assert chosen is not None  # Inputs has checked it
        with seeded(seed):
            domain = None if self.inputs.domain is None else self.calibration(self.inputs.domain, seed)
            return PruneTrial(self, model, self.calibration(chosen, seed), domain)


class PruneTrial:
    """One method on one copy of the model."""

    def __init__(
        self, case: PruneCase, model: Any, calibration: Mapping[str, Any], domain: Mapping[str, Any] | None
    ) -> None:
        self.case = case
        self.model = model
        self.calibration = calibration
        self.domain = domain

    def apply(self, method: Any) -> None:
        """Prune the model."""
        extra = {"domain": self.domain} if "domain" in takes(method.prune) else {}
        method.prune(self.model, self.calibration, **extra)

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

        models.save(self.model, self.case.tokenizer, folder)


TASK = Prune()
