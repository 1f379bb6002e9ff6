"""Generation: a language model and prompts in, continuations out, judged beside people's."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import annotated_types as at

from etude.errors import InputError
from etude.method import check_fields, takes
from etude.task import Metric

if TYPE_CHECKING:
    from torch import Tensor

    from etude.search.embedder import Embedder
    from etude.search.generate.chunks import Generation
    from etude.search.generate.generator import Generator
    from etude.search.passages import Pair

Size = Annotated[int, at.Ge(1)]


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What is continued, and by what.

    Parameters
    ----------
    model : a causal language model: a built-in one, a folder or a GGUF file.
    data : text whose one part encoders are trained on, and whose held-out part is continued.
    prompts : prefixes that are continued; which of them depends on the seed.
    context : tokens of a prefix, at most; it ends with a sentence.
    length : tokens of a continuation, at most; at least 10.
    options : texts of one document of which the true continuation is to be told.
    embedder : gives the vectors by which continuations are set beside people's.

    Raises
    ------
    InputError : if a field has the wrong type or is out of range.
    """

    model: str = "nano-llama"
    data: str = "novels"
    prompts: Annotated[int, at.Ge(10)] = 100
    context: Size = 64
    length: Annotated[int, at.Ge(10)] = 60
    options: Annotated[int, at.Ge(2)] = 10
    embedder: str = "minilm"

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Generate:
    """The task: methods answer to ``fit(model, tokenizer, documents)`` and return a `Generator`.

    A method takes as many of the three as it needs. Continuations and people's own are cut behind the last
    whole sentence before they are judged.
    """

    name: str = "generate"
    title: str = "continuation of texts"
    inputs: type[Inputs] = Inputs
    metrics: tuple[Metric, ...] = (
        Metric("mauve", "MAUVE of vectors", "higher", digits=3, axis="quality"),
        Metric("identified", "true one told", "higher", digits=3),
        Metric("rep_3", "repeated 3-grams", "lower", digits=4),
        Metric("overlap", "words of the prefix", None, digits=3),
        Metric("names", "names of the prefix", None, digits=3),
        Metric("score", "mean score", None, digits=3),
        Metric("words", "words", None, digits=1),
        Metric("tokens", "tokens drawn", "lower", digits=0, axis="cost"),
        Metric("generate_s", "CPU time a prompt", "lower", unit="s", digits=3),
    )
    baselines: tuple[str, ...] = ("nucleus", "greedy", "best-of-n")

    def open(self, inputs: Inputs) -> GenerateCase:
        """Load the language model and the text, and check that there are enough pairs."""
        case = GenerateCase(inputs)
        _ = case.documents, case.pairs(seed=0)
        return case


class GenerateCase:
    """A language model and text, opened and checked."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs
        self._people: dict[int, Tensor] = {}

    @cached_property
    def fingerprints(self) -> Mapping[str, str]:
        """Identify the models and the text."""
        from etude import data
        from etude.models.fingerprint import fingerprint

        return {
            "model": fingerprint(self.inputs.model),
            "embedder": fingerprint(self.inputs.embedder),
            "data": data.fingerprint(self.inputs.data),
        }

    @cached_property
    def model(self) -> tuple[Any, Any]:
        """The language model and its tokenizer."""
        from etude import models
        from etude.models.likelihood import check_causal, context_length

        model, tokenizer = models.load(self.inputs.model)
        check_causal(model)
        if tokenizer is None:
            raise InputError("model", f"{self.inputs.model} has no tokenizer; save one beside the weights")
        limit = context_length(model)
        if limit is not None and self.inputs.context + self.inputs.length > limit:
            raise InputError(
                "length",
                f"{self.inputs.context} + {self.inputs.length} tokens are more than the model's {limit}",
            )
        return model, tokenizer

    @cached_property
    def documents(self) -> list[str]:
        """What encoders are trained on."""
        from etude import data

        return data.load(self.inputs.data, "calibration")

    @cached_property
    def embedder(self) -> Embedder:
        """What judges by."""
        from etude.search.embedder import Embedder

        return Embedder.load(self.inputs.embedder)

    @cached_property
    def _every(self) -> list[Pair]:
        from etude import data
        from etude.search.passages import pairs

        inputs = self.inputs
        found = pairs(data.load(inputs.data, "evaluation"), self.model[1], inputs.context, inputs.length)
        counts: dict[int, int] = {}
        for pair in found:
            counts[pair.document] = counts.get(pair.document, 0) + 1
        return [pair for pair in found if counts[pair.document] >= inputs.options]

    def pairs(self, seed: int) -> list[tuple[Pair, list[str]]]:
        """Prefixes with their true continuations, and for each others of the same document."""
        import random

        draw, inputs = random.Random(seed), self.inputs
        if len(self._every) < inputs.prompts:
            raise InputError(
                "prompts",
                f"{inputs.data} has {len(self._every)} prefixes in documents of {inputs.options} or more",
            )
        same: dict[int, list[Pair]] = {}
        for pair in self._every:
            same.setdefault(pair.document, []).append(pair)
        chosen = draw.sample(self._every, inputs.prompts)
        return [
            (
                pair,
                [
                    each.suffix
                    for each in draw.sample(_without(same[pair.document], pair), inputs.options - 1)
                ],
            )
            for pair in chosen
        ]

    def people(self, seed: int) -> Tensor:
        """Vectors of the true continuations, made once."""
        if seed not in self._people:
            self._people[seed] = self.embedder.encode([pair.suffix for pair, _ in self.pairs(seed)])
        return self._people[seed]

    def check(self, method: Any) -> None:
        """Every method continues every text."""

    def trial(self, seed: int) -> GenerateTrial:
        """Prompts of its own."""
        _ = self.model, self.embedder
        return GenerateTrial(self, seed)


class GenerateTrial:
    """One method on one choice of prompts."""

    def __init__(self, case: GenerateCase, seed: int) -> None:
        self.case, self.seed = case, seed
        self.pairs = case.pairs(seed)
        self.generator: Generator | None = None
        self.made: list[Generation] = []
        self.seconds = 0.0

    def apply(self, method: Any) -> None:
        """Fit the method, and continue all prompts."""
        model, tokenizer = self.case.model
        given = {"model": model, "tokenizer": tokenizer, "documents": self.case.documents}
        wanted = takes(method.fit)
        self.generator = method.fit(**{name: value for name, value in given.items() if name in wanted})
        begun = time.process_time()
        self.made = self._done.generate([pair.prefix for pair, _ in self.pairs], self.case.inputs.length)
        self.seconds = time.process_time() - begun

    def score(self) -> Mapping[str, float]:
        """Judge the texts, and the scorer by whether it tells what truly followed."""
        from etude.search.generate.quality import mauve, mean, names, overlap, repetition, tidy

        prefixes = [pair.prefix for pair, _ in self.pairs]
        texts = [tidy(each.text) for each in self.made]
        both = list(zip(prefixes, texts, strict=True))
        figures = {
            "mauve": mauve(self.case.people(self.seed), self.case.embedder.encode(texts)),
            "rep_3": mean([repetition(text, 3) for text in texts]),
            "overlap": mean([overlap(*each) for each in both]),
            "names": mean([names(*each) for each in both]),
            "words": mean([len(text.split()) for text in texts]),
            "tokens": mean([each.sampled for each in self.made]),
            "generate_s": self.seconds / len(self.made),
        }
        return figures | self._identified()

    def _identified(self) -> dict[str, float]:
        from etude.search.generate.chunks import Candidate
        from etude.search.generate.quality import identified, mean

        scorer = self._done.scorer
        if scorer is None:
            return {}
        options = [[pair.suffix, *others] for pair, others in self.pairs]
        owners = [owner for owner, texts in enumerate(options) for _ in texts]
        candidates = [Candidate(text, log_likelihood=None) for texts in options for text in texts]
        read = scorer.read([pair.prefix for pair, _ in self.pairs])
        scores = scorer.score(read, owners, candidates).view(len(options), -1)
        return {
            "identified": identified(scores),
            "score": mean([each.candidates[0].score for each in self.made]),
        }

    @property
    def _done(self) -> Generator:
        if self.generator is None:
            raise RuntimeError("apply has not been called")
        return self.generator

    def save(self, folder: Path) -> None:
        """Write a generator that `load_generator` reads, and what it made."""
        from etude.search.generate.generator import write

        write(folder, self._done)
        lines = [
            json.dumps({"prompt": each.prompt, "text": each.text, "true": pair.suffix}, ensure_ascii=False)
            for each, (pair, _) in zip(self.made, self.pairs, strict=True)
        ]
        (folder / "generations.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _without(pairs: Sequence[Pair], one: Pair) -> list[Pair]:
    return [pair for pair in pairs if pair is not one]


TASK = Generate()
