"""What the compression of language models works on and is judged by: a model, texts, held-out perplexity."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from etude.errors import InputError


class Subject:
    """A causal language model and how its texts are cut; opened when first needed.

    Parameters
    ----------
    model : what `etude.models.load` takes.
    length : tokens in a segment, of calibration and of evaluation.
    samples : segments of calibration text.
    segments : held-out segments to judge by, at most.
    """

    def __init__(self, model: str, *, length: int, samples: int, segments: int) -> None:
        self.name = model
        self.length = length
        self.samples = samples
        self.segments = segments

    @cached_property
    def _first_load(self) -> tuple[Any, Any]:
        from etude import models
        from etude.models.likelihood import check_length

        model, tokenizer = models.load(self.name, packed=False)
        if tokenizer is None:
            raise InputError("model", f"{self.name} has no tokenizer; save one beside the weights")
        self.admit(model)
        check_length(model, self.length)
        return model, tokenizer

    @property
    def model(self) -> Any:
        """The model as it was loaded first; not to be edited."""
        return self._first_load[0]

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer."""
        return self._first_load[1]

    def admit(self, model: Any) -> None:
        """Raise `InputError` if ``model`` is of another kind."""
        from etude.models.likelihood import check_causal

        check_causal(model)

    def fresh(self) -> Any:
        """Another copy of the model, to edit."""
        from etude import models

        return models.load(self.name, packed=False)[0]

    def check(self, *texts: str) -> None:
        """Raise `InputError` if the model cannot be used, or a text does not suffice."""
        _ = self.model
        for text in texts:
            self.calibration(text, seed=0)
            self.evaluation(text)

    def calibration(self, text: str, seed: int) -> Mapping[str, Any]:
        """Forward arguments, each ``[samples, length]``, drawn from the text's training part."""
        from etude import data

        found: Mapping[str, Any] = data.calibration(
            text, self.tokenizer, samples=self.samples, length=self.length, seed=seed
        )
        return found

    def evaluation(self, text: str) -> Any:
        """Held-out token ids, ``[segments, length]``."""
        from etude import data

        return data.evaluation(text, self.tokenizer, length=self.length, segments=self.segments)

    def fingerprints(self, **texts: str | None) -> dict[str, str]:
        """What identifies the content of the model and of each text that there is, by input."""
        from etude import data
        from etude.models.fingerprint import fingerprint

        found = {name: data.fingerprint(text) for name, text in texts.items() if text is not None}
        return {"model": fingerprint(self.name)} | found
