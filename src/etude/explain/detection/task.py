"""Detection: texts of people and of machines in, a detector out, judged on texts and domains it never saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import annotated_types as at

from etude.errors import InputError
from etude.explain.detection.attacks import Attack
from etude.method import check_fields
from etude.task import Metric

if TYPE_CHECKING:
    from torch import Tensor

    from etude.explain.detection.corpus import Sample
    from etude.explain.detection.fitting import Fitted
    from etude.explain.detection.reading import Reader, Reading


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a detection works on.

    Parameters
    ----------
    model : the frozen language model that reads the texts: a built-in one, a folder or a GGUF file.
    observer : a second one with the same vocabulary, for Binoculars and Fast-DetectGPT; "" for none.
    data : tables of labelled texts (``text``, ``label``) or of pairs (``human``, ``machine``), or running
        text whose passages ``generator`` continues; several are divided by commas.
    generator : the language model that continues running text.
    shift : what the other texts, those that test transfer, differ in.
    train : the domains, or generators, to train on; the others test transfer. "" for the first.
    texts : pairs of a domain, at most.
    words : of a text, at most.
    length : tokens that are read of a text.
    attack : what is done to the machines' texts of the test part for the figure under attack.
    masked : masked language model of the attack that needs one.
    error : share of verdicts of a class that may be wrong.

    Raises
    ------
    InputError : if a field has the wrong type or is out of range.
    """

    model: str = "nano-llama"
    observer: str = ""
    data: tuple[str, ...] = ("novels",)
    generator: str = "nano-llama"
    shift: Literal["domain", "generator"] = "domain"
    train: tuple[str, ...] = ()
    texts: Annotated[int, at.Ge(6)] = 100
    words: Annotated[int, at.Ge(2)] = 80
    length: Annotated[int, at.Ge(2)] = 128
    attack: Attack = "none"
    masked: str = "nano-bert"
    error: Annotated[float, at.Interval(gt=0, lt=0.5)] = 0.05

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Detect:
    """The task: methods answer to ``fit(readings, labels)`` and return a `Scorer`.

    A third of the training domains' texts is held out for the test, a third of the rest for calibration;
    texts of one source stay together, and both are stratified by label.
    """

    name: str = "detection"
    title: str = "detection of generated text"
    inputs: type[Inputs] = Inputs
    metrics: tuple[Metric, ...] = (
        Metric("auroc", "AUROC", "higher", digits=3, axis="quality"),
        Metric("auroc_other", "AUROC, other", "higher", digits=3),
        Metric("drop", "drop", "lower", digits=3),
        Metric("recall", "average recall", "higher", digits=3),
        Metric("recall_other", "recall, other", "higher", digits=3),
        Metric("tpr_5", "found at 5 % false", "higher", digits=3),
        Metric("tpr_1", "found at 1 % false", "higher", digits=3),
        Metric("brier", "Brier score", "lower", digits=3),
        Metric("sure", "sure", "higher", digits=3),
        Metric("sure_wrong", "wrong where sure", "lower", digits=3),
        Metric("auroc_attacked", "AUROC, attacked", "higher", digits=3),
        Metric("numbers", "numbers learnt", None, digits=0, axis="cost"),
    )
    baselines: tuple[str, ...] = ("log-likelihood", "fast-detectgpt", "gltr")

    def open(self, inputs: Inputs) -> DetectCase:
        """Load the model and the texts, and check that there are enough of each class."""
        from etude.explain.detection.fitting import check_installed

        check_installed()
        case = DetectCase(inputs)
        case.divided(seed=0)
        _ = case.reader
        return case


class DetectCase:
    """A model and texts, opened and checked; readings are made once, whatever reads them."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs
        self._attacked: dict[int, list[Reading]] = {}

    @cached_property
    def fingerprints(self) -> Mapping[str, str]:
        """Identify the models and the texts."""
        import hashlib

        from etude.models.fingerprint import fingerprint

        texts = hashlib.sha256("\n".join(map(repr, self.samples)).encode()).hexdigest()
        found = {"model": fingerprint(self.inputs.model), "data": texts}
        return found | ({"observer": fingerprint(self.inputs.observer)} if self.inputs.observer else {})

    @cached_property
    def samples(self) -> list[Sample]:
        """All texts."""
        from etude.explain.detection.corpus import load

        inputs = self.inputs
        if not inputs.data:
            raise InputError("data", "names no texts")
        return load(inputs.data, inputs.generator, inputs.texts, inputs.words)

    @cached_property
    def reader(self) -> Reader:
        """The language model that reads."""
        from etude.explain.detection.reading import opened

        return opened(self.inputs.model, self.inputs.observer or None, self.inputs.length)

    @cached_property
    def readings(self) -> list[Reading]:
        """Of all texts."""
        return self.reader.read([sample.text for sample in self.samples])

    @cached_property
    def places(self) -> tuple[list[int], list[int]]:
        """Of the texts to train and test on, and of the others."""
        kinds = [getattr(sample, self.inputs.shift) for sample in self.samples]
        known = list(dict.fromkeys(kinds))
        chosen = self.inputs.train or tuple(known[:1])
        for name in chosen:
            if name not in known:
                raise InputError(
                    "train", f"no text is of {self.inputs.shift} {name!r}; known: {', '.join(known)}"
                )
        inside = [i for i, kind in enumerate(kinds) if kind in chosen]
        return inside, [i for i, kind in enumerate(kinds) if kind not in chosen]

    def divided(self, seed: int) -> tuple[list[int], list[int]]:
        """Places of the texts to fit on, and of those to test on, under a seed."""
        from etude.explain.detection.fitting import split

        inside = self.places[0]
        labels, groups = ([getattr(self.samples[i], name) for i in inside] for name in ("label", "group"))
        fit, test = split(labels, groups, 3, seed)
        split([labels[i] for i in fit], [groups[i] for i in fit], 3, seed)
        return [inside[i] for i in fit], [inside[i] for i in test]

    def attacked(self, seed: int) -> list[Reading]:
        """Of the machines' test texts after the attack, the same for all methods under a seed."""
        from etude.explain.detection.attacks import attacked

        if seed not in self._attacked:
            test = [self.samples[i] for i in self.divided(seed)[1]]
            texts = [sample.text for sample in test if sample.label == 1]
            changed = attacked(texts, self.inputs.attack, self.inputs.masked, seed)
            self._attacked[seed] = self.reader.read(changed)
        return self._attacked[seed]

    def check(self, method: Any) -> None:
        """Every method fits every reading."""

    def trial(self, seed: int) -> DetectTrial:
        """A division of the texts of its own."""
        _ = self.readings  # made here, so that no method is charged for what all share
        return DetectTrial(self, seed)


class DetectTrial:
    """One method on one division of the texts."""

    def __init__(self, case: DetectCase, seed: int) -> None:
        self.case, self.seed = case, seed
        self.train, self.test = case.divided(seed)
        self.fitted: Fitted | None = None

    def apply(self, method: Any) -> None:
        """Fit the method, and calibrate it on texts that it was not fitted on."""
        from etude.explain.detection.fitting import fit

        samples = [self.case.samples[i] for i in self.train]
        self.fitted = fit(
            method,
            [self.case.readings[i] for i in self.train],
            [sample.label for sample in samples],
            [sample.group for sample in samples],
            seed=self.seed,
        )

    def score(self) -> Mapping[str, float]:
        """On held-out texts of the same domains, on the other domains, and under attack."""
        from etude.explain.detection.calibration import counted
        from etude.explain.detection.quality import auroc, average_recall, recall_at

        fitted = self._done
        scores, labels = self._scored(self.test)
        chances = fitted.calibration.probabilities(scores)
        sure, wrong = counted(fitted.calibration.verdicts(scores, self.case.inputs.error), labels.tolist())
        figures = {
            "auroc": auroc(scores, labels),
            "recall": average_recall(chances, labels),
            "tpr_5": recall_at(scores, labels, 0.05),
            "tpr_1": recall_at(scores, labels, 0.01),
            "brier": float((chances - labels).square().mean()),
            "sure": sure,
            "sure_wrong": wrong,
            "numbers": float(sum(tensor.numel() for tensor in fitted.scorer.tensors.values())),
        }
        return figures | self._elsewhere(figures["auroc"]) | self._attacked(scores, labels)

    def _elsewhere(self, here: float) -> dict[str, float]:
        from etude.explain.detection.quality import auroc, average_recall

        others = self.case.places[1]
        if len({self.case.samples[i].label for i in others}) < 2:
            return {}
        scores, labels = self._scored(others)
        there, chances = auroc(scores, labels), self._done.calibration.probabilities(scores)
        return {
            "auroc_other": there,
            "drop": here - there,
            "recall_other": average_recall(chances, labels),
        }

    def _attacked(self, scores: Tensor, labels: Tensor) -> dict[str, float]:
        """The machines' texts of the test part are changed, the people's stay."""
        from etude.explain.detection.quality import auroc

        if self.case.inputs.attack == "none":
            return {}
        changed = scores.clone()
        changed[labels == 1] = self._done.scorer(self.case.attacked(self.seed))
        return {"auroc_attacked": auroc(changed, labels)}

    def _scored(self, places: Sequence[int]) -> tuple[Tensor, Tensor]:
        import torch

        labels = torch.tensor([self.case.samples[i].label for i in places])
        return self._done.scorer([self.case.readings[i] for i in places]), labels

    @property
    def _done(self) -> Fitted:
        if self.fitted is None:
            raise RuntimeError("apply has not been called")
        return self.fitted

    def save(self, folder: Path) -> None:
        """Write a detector that `Detector.load` reads."""
        from etude.explain.detection.detector import Detector, write

        inputs = self.case.inputs
        settings = Detector(
            model=inputs.model,
            observer=inputs.observer or None,
            length=inputs.length,
            error=inputs.error,
            seed=self.seed,
        )
        write(folder, self._done, settings.get_params(deep=False))


TASK = Detect()
