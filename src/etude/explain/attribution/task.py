"""Attribution: prompts in, an importance for each of their tokens out, judged by erasing what matters."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import annotated_types as at

from etude.errors import InputError
from etude.method import check_fields
from etude.seeds import seeded
from etude.task import Metric

if TYPE_CHECKING:
    from etude.explain.attribution.attribution import Attribution
    from etude.explain.attribution.faithfulness import Soft
    from etude.explain.attribution.probe import Probe
    from etude.explain.attribution.prompts import Prompt

RECALL, CUES = "recall", "cues"


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What an attribution works on.

    Parameters
    ----------
    model : a built-in model ("nano-llama", "smollm2"), a folder in Hugging Face format, a GGUF file, or
        "recall", a tiny one that answers keys with values and that is trained when first asked for.
    text : the prompt; where it is empty, prompts come from ``data``.
    data : "cues", texts in which one word decides the next; "recall", pairs and a key for the model of that
        name; a ``.jsonl`` file of prompts with ``text``, and perhaps ``target`` and ``cue``; or a
        set or file of running text, of which held-out beginnings are explained.
    prompts : how many, at most.
    length : tokens of a prompt from running text.
    draws : of zeros for each soft measure.

    Raises
    ------
    InputError : if a field has the wrong type or is out of range.
    """

    model: str = "nano-llama"
    text: str = ""
    data: str = "novels"
    prompts: Annotated[int, at.Ge(1)] = 8
    length: Annotated[int, at.Ge(2)] = 24
    draws: Annotated[int, at.Ge(1)] = 16

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Attribute:
    """The task: methods answer to ``attribute(model, tokenizer, ids, target=None)``.

    They return an `Attribution`, and leave the model as it was. Its scores are judged by soft normalised
    comprehensiveness (NC) and sufficiency (NS), and by erasing the best tokens outright; where the deciding
    words of a prompt are known, by their rank too.
    """

    name: str = "attribution"
    title: str = "attribution"
    inputs: type[Inputs] = Inputs
    metrics: tuple[Metric, ...] = (
        Metric("soft_nc", "soft NC", "higher", digits=3, axis="quality"),
        Metric("soft_ns", "soft NS", "higher", digits=3),
        Metric("log_nc", "log NC to random", "higher", digits=2),
        Metric("log_ns", "log NS to random", "higher", digits=2),
        Metric("gain_low", "NC gain, 95 % from", "higher", digits=3),
        Metric("peaked_nc", "soft NC, peak 1", "higher", digits=3),
        Metric("comprehensiveness", "erased: p falls", "higher", digits=3),
        Metric("sufficiency", "alone: p falls", "lower", digits=3),
        Metric("cue_rank", "rank of cue", "lower", digits=2),
        Metric("finished", "stopped", None, digits=2),
        Metric("forwards", "forwards a token", "lower", digits=0, axis="cost"),
    )
    baselines: tuple[str, ...] = ("random-scores", "attention-last", "input-x-gradient")

    def open(self, inputs: Inputs) -> AttributionCase:
        """Load the model and read the prompts of the first seed, to see that they can be used."""
        case = AttributionCase(inputs)
        case.prompts(seed=0)
        return case


class AttributionCase:
    """A model and prompts, opened and checked."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs
        self._floors: dict[tuple[int, int, int], Soft] = {}

    @cached_property
    def loaded(self) -> tuple[Any, Any]:
        """The model and its tokenizer."""
        from etude import models
        from etude.explain.attribution import recall
        from etude.models.likelihood import check_causal

        model, tokenizer = recall.load() if self.inputs.model == RECALL else models.load(self.inputs.model)
        check_causal(model)
        return model, tokenizer

    @cached_property
    def fingerprints(self) -> Mapping[str, str]:
        """Identify the model and the prompts, as far as they are not made by this task itself."""
        from etude import data
        from etude.models.fingerprint import fingerprint

        found = {} if self.inputs.model == RECALL else {"model": fingerprint(self.inputs.model)}
        if not self.inputs.text and self.inputs.data not in (RECALL, CUES):
            found["data"] = data.fingerprint(self._file or self.inputs.data)
        return found

    @property
    def _file(self) -> Path | None:
        path = Path(self.inputs.data).expanduser()
        return path if path.suffix == ".jsonl" and path.is_file() else None

    def prompts(self, seed: int) -> list[Prompt]:
        """What is explained under a seed; it draws anew only where prompts are made up."""
        from etude.explain.attribution import prompts, recall
        from etude.models.likelihood import context_length

        model, tokenizer = self.loaded
        inputs = self.inputs
        if (inputs.data == RECALL and not inputs.text) != (inputs.model == RECALL):
            raise InputError("data", f"the model and the prompts named {RECALL!r} go together")
        if inputs.model == RECALL:
            return recall.prompts(inputs.prompts, seed)
        if tokenizer is None:
            raise InputError("model", f"{inputs.model} has no tokenizer; save one beside the weights")
        if inputs.text:
            found = prompts.single(inputs.text, tokenizer)
        elif inputs.data == CUES:
            found = prompts.from_cues(tokenizer, inputs.prompts, seed)
        elif self._file:
            found = prompts.from_file(self._file, tokenizer)[: inputs.prompts]
        else:
            found = prompts.from_text(inputs.data, tokenizer, inputs.prompts, inputs.length)
        prompts.check_lengths(found, context_length(model))
        return found

    def floor(self, probe: Probe, seed: int, place: int) -> Soft:
        """The soft measures of random scores for a prompt, the same whatever method they are set against."""
        import torch

        from etude.explain.attribution.faithfulness import soft

        key = (seed, place, probe.target)
        if key not in self._floors:
            with seeded(seed):
                self._floors[key] = soft(probe, torch.rand(probe.length).softmax(0), self.inputs.draws)
        return self._floors[key]

    def check(self, method: Any) -> None:
        """Raise `InputError` if ``method`` cannot run here."""
        if hasattr(method, "check"):
            method.check(*self.loaded)

    def trial(self, seed: int) -> AttributionTrial:
        """The prompts of a seed."""
        with seeded(seed):
            return AttributionTrial(self, self.prompts(seed), seed)


class Judged(NamedTuple):
    """Soft measures of scores, of scores scaled to a largest of 1 and of random ones; hard ones."""

    own: Soft
    peaked: Soft
    random: Soft
    erased: tuple[float, float]


class AttributionTrial:
    """One method on all prompts."""

    def __init__(self, case: AttributionCase, prompts: Sequence[Prompt], seed: int) -> None:
        self.case = case
        self.prompts = prompts
        self.seed = seed
        self.found: list[Attribution] = []

    def apply(self, method: Any) -> None:
        """Attribute the next token of every prompt."""
        from etude.progress import track

        model, tokenizer = self.case.loaded
        self.found = [
            method.attribute(model, tokenizer, prompt.ids, prompt.target)
            for prompt in track(self.prompts, "attributing")
        ]

    def score(self) -> Mapping[str, float]:
        """Means over prompts. ``gain_low`` is the lower end of the 95 % interval, over prompts, of soft NC
        less that of random scores; ``peaked_nc`` scales scores to a largest of 1."""
        judged = [self._judge(place) for place in range(len(self.found))]
        nc, ns = [each.own.nc for each in judged], [each.own.ns for each in judged]
        random_nc, random_ns = [each.random.nc for each in judged], [each.random.ns for each in judged]
        figures = {
            "soft_nc": statistics.fmean(nc),
            "soft_ns": statistics.fmean(ns),
            "log_nc": log_ratio(nc, random_nc),
            "log_ns": log_ratio(ns, random_ns),
            "gain_low": lowest([own - random for own, random in zip(nc, random_nc, strict=True)]),
            "peaked_nc": statistics.fmean(each.peaked.nc for each in judged),
            "comprehensiveness": statistics.fmean(each.erased[0] for each in judged),
            "sufficiency": statistics.fmean(each.erased[1] for each in judged),
            "finished": statistics.fmean(found.finished for found in self.found),
            "forwards": statistics.fmean(found.forwards for found in self.found),
        }
        ranks = [min(found.ranks[i] for i in prompt.cue) for prompt, found in self._cued()]
        return figures | ({"cue_rank": statistics.fmean(ranks)} if ranks else {})

    def _cued(self) -> list[tuple[Prompt, Attribution]]:
        return [pair for pair in zip(self.prompts, self.found, strict=True) if pair[0].cue]

    def _judge(self, place: int) -> Judged:
        """Judge the attribution of one prompt, under noise that is the same for all methods."""
        import torch

        from etude.explain.attribution.faithfulness import hard, soft
        from etude.explain.attribution.probe import Probe

        found, draws = self.found[place], self.case.inputs.draws
        probe = Probe(*self.case.loaded, self.prompts[place].ids, found.target_id)
        scores = torch.tensor(found.scores)
        with seeded(self.seed):
            own = soft(probe, scores, draws)
        with seeded(self.seed):
            peaked = soft(probe, scores / scores.max(), draws)
        return Judged(own, peaked, self.case.floor(probe, self.seed, place), hard(probe, scores))

    def save(self, folder: Path) -> None:
        """Write the attributions as JSON, and as a page to look at."""
        from etude.explain.attribution.attribution import save
        from etude.explain.attribution.showing import page

        save(self.found, folder / "attributions.json")
        (folder / "attributions.html").write_text(page(self.found, "Attributions"), encoding="utf-8")


def log_ratio(values: Sequence[float], others: Sequence[float]) -> float:
    """Logarithm of the ratio of two means; NaN where one is 0.

    Examples
    --------
    >>> log_ratio([2.0, 2.0], [1.0, 3.0])
    0.0
    """
    mean, other = statistics.fmean(values), statistics.fmean(others)
    return math.log(mean / other) if mean > 0 and other > 0 else math.nan


def lowest(values: Sequence[float], resamples: int = 2000) -> float:
    """Lower end of the 95 % bootstrap interval of the mean; NaN for fewer than two values.

    Examples
    --------
    >>> lowest([1.0, 1.0, 1.0])
    1.0
    """
    import torch

    if len(values) < 2:
        return math.nan
    drawn = torch.randint(len(values), (resamples, len(values)))
    return float(torch.tensor(values, dtype=torch.float64)[drawn].mean(1).quantile(0.025))


TASK = Attribute()
