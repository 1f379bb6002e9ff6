"""Binarisation: a masked language model in, an encoder of one bit out, judged by what it can be taught."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import annotated_types as at

from etude.errors import InputError
from etude.method import check_fields
from etude.seeds import seeded
from etude.task import Metric

if TYPE_CHECKING:
    from etude.compress.binarize.downstream import Protocol
    from etude.data.labelled import Examples

SPECIAL = 3
"""Tokens of a pair of passages that are not text."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a binarisation works on.

    Parameters
    ----------
    model : a masked language model shaped like BERT: "nano-bert" or a folder in Hugging Face format.
    data : text to pre-train on and, from its held-out part, to judge by: a built-in set or a file.
    sets : labelled texts to fine-tune and test on: "sst2", "trec6", "rte", "stsb", or folders with a train
        and a test file; none for the masked loss alone.
    samples : segments of text to pre-train on.
    length : tokens of a pair of passages, and of a labelled text at most.
    segments : held-out segments to judge by, at most.
    examples : labelled texts to fine-tune on, drawn from each set; None for all.
    epochs : of fine-tuning.
    tuning_batch : examples in a step of fine-tuning.
    tuning_rate : of AdamW in fine-tuning, constant; small models need more than the usual 2e-5.
    factors : by which the rate is multiplied. The figures of the sets are those of the first, and of each
        further one everything is fine-tuned again for the spread.

    Raises
    ------
    InputError : if a field has the wrong type or is out of range.
    """

    model: str = "nano-bert"
    data: str = "novels"
    sets: tuple[str, ...] = ("sst2", "trec6")
    samples: Annotated[int, at.Ge(1)] = 4096
    length: Annotated[int, at.Ge(SPECIAL + 2)] = 64
    segments: Annotated[int, at.Ge(1)] = 256
    examples: Annotated[int | None, at.Ge(1)] = None
    epochs: Annotated[int, at.Ge(1)] = 3
    tuning_batch: Annotated[int, at.Ge(1)] = 32
    tuning_rate: Annotated[float, at.Gt(0)] = 5e-4
    factors: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.factors or min(self.factors) <= 0:
            raise InputError("factors", "one or more numbers above 0 are needed, such as 1,0.25,4")


@dataclass(frozen=True)
class Binarize:
    """The task: methods answer to ``binarize(model, corpus, tokenizer)``.

    They edit the model in place, from then on binary. The task then fine-tunes a copy of its encoder on
    every labelled set, always in the same way.
    """

    name: str = "binarize"
    title: str = "binarisation"
    inputs: type[Inputs] = Inputs
    metrics: tuple[Metric, ...] = (
        Metric("accuracy", "accuracy", "higher", digits=3, axis="quality"),
        Metric("mlm_loss", "masked loss", "lower", "nats", digits=3),
        Metric("sst2", "SST-2", "higher", digits=3),
        Metric("trec6", "TREC-6", "higher", digits=3),
        Metric("rte", "RTE", "higher", digits=3),
        Metric("stsb", "STS-B, ρ", "higher", digits=3),
        Metric("spread", "spread over rates", "lower", digits=3),
        Metric("bits_per_weight", "bits a weight", "lower", digits=2, axis="cost"),
        Metric("size_mb", "encoder", "lower", "MB", digits=3, axis="cost"),
    )
    baselines: tuple[str, ...] = ("full-precision-encoder", "bit", "bibert")

    def open(self, inputs: Inputs) -> BinarizeCase:
        """Load the model once to see that it can be read, and check that texts and sets suffice."""
        return BinarizeCase(inputs)


class BinarizeCase:
    """A model, its text and the labelled sets, opened and checked."""

    def __init__(self, inputs: Inputs) -> None:
        from etude import data
        from etude.compress.binarize.encoder import check_encoder
        from etude.data.labelled import load as load_set
        from etude.data.masked import check_tokens, pretraining
        from etude.models.likelihood import check_length

        self.inputs = inputs
        self.model, self.tokenizer = _pretrainable(inputs.model)
        check_encoder(self.model)
        check_tokens(self.tokenizer)
        check_length(self.model, inputs.length)
        self.sets: dict[str, tuple[Examples, Examples]] = {name: load_set(name) for name in inputs.sets}
        self.corpus(0)
        held_out = data.evaluation(
            inputs.data, self.tokenizer, length=inputs.length - SPECIAL, segments=inputs.segments
        )
        self.held_out = pretraining(held_out, self.tokenizer)

    @cached_property
    def fingerprints(self) -> Mapping[str, str]:
        """Identify the model, the text and the sets."""
        from etude import data
        from etude.data.labelled import fingerprint as of_set
        from etude.models.fingerprint import fingerprint

        found = {"model": fingerprint(self.inputs.model), "data": data.fingerprint(self.inputs.data)}
        return found | {name: of_set(name) for name in self.inputs.sets}

    def check(self, method: Any) -> None:
        """Nothing depends on the method: every one takes what the task takes."""

    def corpus(self, seed: int) -> Mapping[str, Any]:
        """Plain segments of tokens, ``[samples, length - 3]``, from the text's training part."""
        from etude import data

        found: Mapping[str, Any] = data.calibration(
            self.inputs.data,
            self.tokenizer,
            samples=self.inputs.samples,
            length=self.inputs.length - SPECIAL,
            seed=seed,
        )
        return found

    def trial(self, seed: int) -> BinarizeTrial:
        """A freshly loaded model and its own draws of text and examples."""
        with seeded(seed):
            model, _ = _pretrainable(self.inputs.model)
            return BinarizeTrial(self, model, self.corpus(seed), seed)


class BinarizeTrial:
    """One method on one copy of the model."""

    def __init__(self, case: BinarizeCase, model: Any, corpus: Mapping[str, Any], seed: int) -> None:
        self.case = case
        self.model = model
        self.corpus = corpus
        self.seed = seed
        self.classifiers: dict[str, list[Any]] = {}

    def apply(self, method: Any) -> None:
        """Make the model binary, and fine-tune it on every set."""
        from etude.compress.binarize.downstream import drawn, finetune

        tokenizer, inputs = self.case.tokenizer, self.case.inputs
        method.binarize(self.model, self.corpus, tokenizer)
        for name, (train, _) in self.case.sets.items():
            few = drawn(train, inputs.examples, self.seed)
            made = []
            for factor in inputs.factors:
                with seeded(self.seed):  # the same order of examples in every arm
                    made.append(finetune(self.model, few, tokenizer, self._protocol(factor)))
            self.classifiers[name] = made

    def score(self) -> Mapping[str, float]:
        """Held-out masked loss before fine-tuning, figures of the sets after it, and what it costs.

        Accuracy is the mean over the sets, with Spearman's ρ for one of scores. Bits a weight are those
        of the encoder's linear layers and word embedding, scales counted in; the size is all of the
        encoder's, binary matrices packed, others in float32.
        """
        from statistics import fmean, pstdev

        from etude.compress.binarize.downstream import judge
        from etude.compress.binarize.pretraining import masked_loss
        from etude.compress.binarize.size import bits_per_weight, encoder_bytes

        found = {
            "mlm_loss": masked_loss(self.model, self.case.held_out),
            "bits_per_weight": bits_per_weight(self.model),
            "size_mb": encoder_bytes(self.model) / 1e6,
        }
        tokenizer, length = self.case.tokenizer, self.case.inputs.length
        figures = {
            name: [judge(made, self.case.sets[name][1], tokenizer, length) for made in several]
            for name, several in self.classifiers.items()
        }
        known = {metric.name for metric in TASK.metrics}
        found |= {name: several[0] for name, several in figures.items() if name in known}
        if figures:
            found["accuracy"] = fmean(several[0] for several in figures.values())
        if figures and len(self.case.inputs.factors) > 1:
            found["spread"] = fmean(pstdev(several) for several in figures.values())
        return found

    def save(self, folder: Path) -> None:
        """Write the encoder with its heads to ``pretrained``, and each classifier to the name of its set."""
        from etude import models
        from etude.compress.binarize import saving
        from etude.compress.binarize.encoder import structure_of

        write = models.save if structure_of(self.model) is None else saving.save
        write(self.model, self.case.tokenizer, folder / "pretrained")
        for name, (first, *_) in self.classifiers.items():
            write(first, self.case.tokenizer, folder / Path(name).name)

    def _protocol(self, factor: float) -> Protocol:
        from etude.compress.binarize.downstream import Protocol

        inputs = self.case.inputs
        return Protocol(inputs.epochs, inputs.tuning_batch, factor * inputs.tuning_rate, inputs.length)


def _pretrainable(name: str) -> tuple[Any, Any]:
    """A model with all heads of its pre-training where the checkpoint has them, and its tokenizer.

    Checkpoints of BERT name the class without the head for pairs, and hold its weights all the same.
    """
    from etude import models

    model, tokenizer = models.load(name)
    if tokenizer is None:
        raise InputError("model", f"{name} has no tokenizer; save one beside the weights")
    if type(model).__name__ == "BertForMaskedLM":
        try:
            model, _ = models.load(name, architecture="BertForPreTraining")
        except InputError:  # it has no such head, and masked tokens alone remain
            return model, tokenizer
    return model, tokenizer


TASK = Binarize()
