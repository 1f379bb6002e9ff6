"""What can be quantised, how it is calibrated, and what it is judged by afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from etude.compress.language import Subject


class Causal(Subject):
    """A causal language model, judged by its perplexity."""

    def quality(self, model: Any, evaluation: Any) -> dict[str, float]:
        """Perplexity on held-out token ids ``[segments, length]``."""
        from etude.models import perplexity

        return {"perplexity": perplexity(model, evaluation)}

    def write(self, folder: Path) -> None:
        """Nothing more belongs to a checkpoint."""


class Masked(Causal):
    """A masked language model, judged by its pseudo-perplexity; segments stand between special tokens."""

    def admit(self, model: Any) -> None:
        """Raise `InputError` if ``model`` predicts no masked tokens."""
        from etude.models.masked import check_masked

        check_masked(model)

    def calibration(self, text: str, seed: int) -> Mapping[str, Any]:
        """Forward arguments, each ``[samples, length]``, drawn from the text's training part."""
        from etude import data

        drawn = data.calibration(
            text, self.tokenizer, samples=self.samples, length=self.length - 2, seed=seed
        )
        return self._framed(drawn["input_ids"])

    def evaluation(self, text: str) -> Any:
        """Held-out token ids, ``[segments, length]``."""
        from etude import data

        ids = data.evaluation(text, self.tokenizer, length=self.length - 2, segments=self.segments)
        return self._framed(ids)["input_ids"]

    def quality(self, model: Any, evaluation: Any) -> dict[str, float]:
        """Pseudo-perplexity on held-out token ids ``[segments, length]``."""
        from etude.models.masked import pseudo_perplexity

        return {"pseudo_perplexity": pseudo_perplexity(model, evaluation, self.tokenizer)}

    def _framed(self, ids: Any) -> dict[str, Any]:
        import torch

        from etude.data.masked import check_tokens

        check_tokens(self.tokenizer)
        begin, end = (
            ids.new_full((len(ids), 1), token)
            for token in (self.tokenizer.cls_token_id, self.tokenizer.sep_token_id)
        )
        framed = torch.cat([begin, ids, end], 1)
        return {"input_ids": framed, "attention_mask": torch.ones_like(framed)}


class Classifier:
    """A classifier of images, judged by its accuracy.

    Parameters
    ----------
    model : what `etude.models.load` takes.
    samples : images to calibrate on.
    segments : images to judge by, at most.
    """

    tokenizer = None

    def __init__(self, model: str, *, samples: int, segments: int) -> None:
        self.name = model
        self.samples = samples
        self.segments = segments

    @cached_property
    def model(self) -> Any:
        """The model as it was loaded first; not to be edited."""
        return self.fresh()

    @cached_property
    def prepared(self) -> Any:
        """What is done to pixels before the model sees them."""
        from etude.models import images, loading

        return images.preprocessing(loading.locate(self.name), self.model)

    def fresh(self) -> Any:
        """Another copy of the model, to edit."""
        from etude import models

        return models.load(self.name, packed=False)[0]

    def check(self, *sets: str) -> None:
        """Raise `InputError` if the model cannot be used, or a set of images does not fit it."""
        _ = self.model
        for name in sets:
            self.calibration(name, seed=0)
            self.evaluation(name)

    def images(self, name: str, part: Any) -> Any:
        """One part of a set of images, their labels being those of the model."""
        from etude.compress.quantize_vision.task import relabelled
        from etude.data import images

        found = images.load(name, part, side=self.prepared.side)
        return relabelled(found, self.model.config.label2id, name)

    def calibration(self, name: str, seed: int) -> Mapping[str, Any]:
        """Forward arguments of images drawn from the training part."""
        import torch

        found = self.images(name, "train")
        order = torch.randperm(len(found), generator=torch.Generator().manual_seed(seed))
        return {"pixel_values": self.prepared(found.pixels[order[: self.samples]])}

    def evaluation(self, name: str) -> Any:
        """Images of the test part, spread evenly over it."""
        import torch

        found = self.images(name, "test")
        count = min(len(found), self.segments)
        return found.some(torch.arange(count) * len(found) // count)

    def quality(self, model: Any, evaluation: Any) -> dict[str, float]:
        """Share of images whose class is predicted, in percent."""
        from etude.compress.quantize_vision.training import accuracy

        return {"accuracy": accuracy(model, evaluation, self.prepared)}

    def fingerprints(self, **sets: str | None) -> dict[str, str]:
        """What identifies the content of the model and of each set of images that there is, by input."""
        from etude.data import images
        from etude.models.fingerprint import fingerprint

        found = {name: images.fingerprint(path) for name, path in sets.items() if path is not None}
        return {"model": fingerprint(self.name)} | found

    def write(self, folder: Path) -> None:
        """Write into a checkpoint's folder how pixels are prepared."""
        self.prepared.write(folder)


def subject_of(model: str, *, length: int, samples: int, segments: int) -> Causal | Classifier:
    """The model as what it says that it is; one that says nothing else is taken for a causal model.

    Raises
    ------
    InputError : if there is no such model.

    Examples
    --------
    >>> sizes = {"length": 16, "samples": 1, "segments": 1}
    >>> [type(subject_of(name, **sizes)).__name__ for name in ("nano-llama", "nano-bert", "nano-vit")]
    ['Causal', 'Masked', 'Classifier']
    """
    from etude.models import checkpoint, loading

    path = loading.locate(model)
    names = (checkpoint.read_config(path) if path.is_dir() else {}).get("architectures") or [""]
    if str(names[0]).endswith("ForImageClassification"):
        return Classifier(model, samples=samples, segments=segments)
    kind = Masked if str(names[0]).endswith("ForMaskedLM") else Causal
    return kind(model, length=length, samples=samples, segments=segments)
