"""Quantisation: one model in, the same in fewer bits out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import annotated_types as at

from etude.compress.quantize.subjects import subject_of
from etude.method import check_fields
from etude.seeds import seeded
from etude.task import Metric

if TYPE_CHECKING:
    from etude.compress.quantize.quantized import Quantized


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a quantisation works on.

    Parameters
    ----------
    model : a built-in model ("nano-llama", "smollm2"), a folder in Hugging Face format, or a GGUF file: a
        causal language model, a masked one ("nano-bert") or a classifier of images ("nano-vit").
    data : text to calibrate on and, from its held-out part, to judge by: a built-in set or a file. For images
        a named set, or a folder with ``train`` and ``test``.
    calibrate : text (or images) to calibrate on, where it is not that of ``data``; "" where it is.
    samples : segments of calibration text, or images.
    length : tokens in a segment, of calibration and of evaluation.
    segments : held-out segments, or images, to judge by, at most.
    format : of the checkpoint: "dense", with the weights decoded, which everything loads; packed as
        transformers and vLLM ("compressed-tensors", "awq", "gptq") or llama.cpp ("gguf") load it; or
        packed in a layout of Etude's own ("etude"), which holds what the others cannot.

    Raises
    ------
    InputError : if a field has the wrong type or is out of range.
    """

    model: str = "nano-llama"
    data: str = "novels"
    calibrate: str = ""
    samples: Annotated[int, at.Ge(1)] = 128
    length: Annotated[int, at.Ge(2)] = 128
    segments: Annotated[int, at.Ge(1)] = 128
    format: Literal["dense", "compressed-tensors", "awq", "gptq", "gguf", "etude"] = "dense"

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Quantize:
    """The task: methods answer to ``quantize(model, calibration)``.

    They edit the model in place, so that it computes with the quantised weights, and return what is
    stored, a `Quantized` for the dotted name of each layer.
    """

    name: str = "quantize"
    title: str = "quantisation"
    inputs: type[Inputs] = Inputs
    metrics: tuple[Metric, ...] = (
        Metric("perplexity", "perplexity", "lower", digits=2, axis="quality"),
        Metric("pseudo_perplexity", "pseudo-perplexity", "lower", digits=2, axis="quality"),
        Metric("accuracy", "accuracy", "higher", "%", digits=1, axis="quality"),
        Metric("bits_per_weight", "bits a weight", "lower", digits=2, axis="cost"),
        Metric("size_mb", "size", "lower", "MB", digits=2, axis="cost"),
        Metric("tokens_per_s", "decoding", "higher", "tokens/s", digits=0, axis="cost"),
    )
    baselines: tuple[str, ...] = ("full-precision", "rtn")

    def open(self, inputs: Inputs) -> QuantizeCase:
        """Load the model once to see that it can be read, and check that the text suffices."""
        case = QuantizeCase(inputs)
        case.subject.check(inputs.data, *filter(None, [inputs.calibrate]))
        return case


class QuantizeCase:
    """A model and its text or images, opened and checked."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs
        self.subject = subject_of(
            inputs.model, length=inputs.length, samples=inputs.samples, segments=inputs.segments
        )

    @cached_property
    def fingerprints(self) -> Mapping[str, str]:
        """Identify the model and the data."""
        return self.subject.fingerprints(data=self.inputs.data, calibrate=self.inputs.calibrate or None)

    @cached_property
    def evaluation(self) -> Any:
        """Held-out token ids ``[segments, length]``, or images."""
        return self.subject.evaluation(self.inputs.data)

    def check(self, method: Any) -> None:
        """Raise `InputError` if ``method`` does not fit the model, or the format what it makes of it.

        A base with low-rank products beside it may be measured, but not rounded again.
        """
        from etude.models.loading import locate
        from etude.models.packed import adapter

        path = locate(self.inputs.model)
        if path.is_dir() and method.name != "full-precision":
            adapter.check_apart(self.inputs.model, path)
        if hasattr(method, "check"):
            method.check(self.subject.model)
        from etude.compress.quantize import formats

        formats.check(self.inputs.format, method, self.subject.model, self.subject.tokenizer)

    def trial(self, seed: int) -> QuantizeTrial:
        """A freshly loaded model and its own draw of calibration data."""
        with seeded(seed):
            text = self.inputs.calibrate or self.inputs.data
            return QuantizeTrial(self, self.subject.fresh(), self.subject.calibration(text, seed))


class QuantizeTrial:
    """One method on one copy of the model."""

    def __init__(self, case: QuantizeCase, model: Any, calibration: Mapping[str, Any]) -> None:
        self.case = case
        self.model = model
        self.calibration = calibration
        self.stored: Mapping[str, Quantized] = {}

    def apply(self, method: Any) -> None:
        """Quantise the model."""
        self.stored = method.quantize(self.model, self.calibration)

    def score(self) -> Mapping[str, float]:
        """What the quantised model is worth on held-out data, and what it costs.

        Bits a weight are those of the linear layers of the blocks, scales and zeros counted in; the size
        is that of all tensors, quantised ones packed. Speed is of generating one token after the other
        with packed weights, by the kernels that are fastest here; models that do not generate have none.
        """
        from etude.compress.quantize.quantized import bits_per_weight, packed_bytes
        from etude.models.likelihood import is_causal

        return {
            **self.case.subject.quality(self.model, self.case.evaluation),
            "bits_per_weight": bits_per_weight(self.model, self.stored),
            "size_mb": packed_bytes(self.model, self.stored) / 1e6,
            **({"tokens_per_s": self.speed()} if is_causal(self.model) else {}),
        }

    def speed(self) -> float:
        """Tokens a second in decoding with packed weights."""
        from etude.models import measure
        from etude.models.packed.linear import packed_within

        tokens = max(1, min(16, self.case.inputs.length // 2))
        with packed_within(self.model, {name: layer.packed() for name, layer in self.stored.items()}):
            return measure.decoded_tokens_per_second(self.model, length=tokens, new=tokens)

    def save(self, folder: Path) -> None:
        """Write a checkpoint that transformers loads, in the format asked for; dense if nothing is stored.

        Beside it, of weights in floating point: the format and exponent bias of every layer.
        """
        from etude.compress.quantize import formats, report

        formats.write(self.case.inputs.format, self.model, self.case.subject.tokenizer, self.stored, folder)
        self.case.subject.write(folder)
        report.write(self.model, self.stored, folder)


TASK = Quantize()
