"""Long retrieval: an encoder in, one that reads more out, judged by what it finds at every length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import annotated_types as at

from etude.errors import InputError
from etude.method import check_fields, takes
from etude.task import Metric

if TYPE_CHECKING:
    from torch import Tensor

    from etude.search.embedder import Embedder
    from etude.search.long.encoder import LongEncoder, Vectors
    from etude.search.long.haystacks import Haystack

LENGTHS = (64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
"""That have a column of their own."""
BEST = 10
"""Places of a ranking that count where documents are real."""
HIDDEN = ("passkey", "needle", "handover")


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What is stretched, how far, and what is looked for in what.

    Parameters
    ----------
    model : an encoder: a built-in one, a folder, or "rotary" for a small one with rotary positions that is
        trained for it, under each seed anew.
    data : "passkey", "needle" and "handover" hide one thing in documents of each of ``lengths``; "novels",
        "keyphrases", "xquad" and "routes" are real documents of their own lengths.
    target : tokens that the encoder shall read.
    lengths : of documents, in the encoder's tokens; each one of 64, 128, ... 32768.
    documents : of each length.
    queries : of each length, at most as many.
    documents_from : text that methods which learn may learn from.

    Raises
    ------
    InputError : if a field has the wrong type or is out of range.
    """

    model: str = "minilm"
    data: Literal["passkey", "needle", "handover", "novels", "keyphrases", "xquad", "routes"] = "passkey"
    target: Annotated[int, at.Ge(2)] = 2048
    lengths: tuple[int, ...] = (256, 512, 1024, 2048)
    documents: Annotated[int, at.Ge(2)] = 30
    queries: Annotated[int, at.Ge(1)] = 30
    documents_from: str = "novels"

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.lengths or set(self.lengths) - set(LENGTHS):
            raise InputError("lengths", f"{self.lengths} are not some of {', '.join(map(str, LENGTHS))}")


@dataclass(frozen=True)
class LongRetrieval:
    """The task: methods answer to ``extend(encoder, target, documents)`` and return a `LongEncoder`.

    A method takes as many of the three as it needs.
    """

    name: str = "long-retrieval"
    title: str = "retrieval of long documents"
    inputs: type[Inputs] = Inputs
    metrics: tuple[Metric, ...] = (
        Metric("found", "found", "higher", digits=3, axis="quality"),
        Metric("beyond", "found beyond", "higher", digits=3),
        *(Metric(f"at_{length}", f"at {length}", "higher", digits=2) for length in LENGTHS),
        Metric("inside", "hidden inside", None, digits=2),
        Metric("drift", "change of short", "lower", digits=6),
        Metric("vectors", "vectors each", "lower", digits=1, axis="cost"),
        Metric("encode_s", "CPU time a document", "lower", unit="s", digits=3),
    )
    baselines: tuple[str, ...] = ("truncation", "max-passage", "late-chunking")

    def open(self, inputs: Inputs) -> LongCase:
        """Load the encoder, and make the documents of one seed."""
        case = LongCase(inputs)
        _ = case.window, case.stacks(seed=0)
        return case


class LongCase:
    """An encoder and the makers of documents, checked."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs
        self._stacks: dict[int, dict[int, Haystack]] = {}

    @cached_property
    def fingerprints(self) -> Mapping[str, str]:
        """Identify the encoder and the text that is learnt from."""
        from etude import data
        from etude.models.fingerprint import fingerprint
        from etude.search.long import rotary

        made = f"{rotary.NAME} {rotary.VERSION} {rotary.STEPS}"
        model = made if self._own else fingerprint(self.inputs.model)
        return {"model": model, "documents_from": data.fingerprint(self.inputs.documents_from)}

    @property
    def _own(self) -> bool:
        return self.inputs.model == "rotary"

    @cached_property
    def _loaded(self) -> Embedder:
        from etude.search.embedder import Embedder
        from etude.search.long.rotary import untrained

        return untrained() if self._own else Embedder.load(self.inputs.model)

    @property
    def window(self) -> int:
        """Tokens that the encoder reads as it is."""
        from etude.search.long.extension import check_target

        check_target(self.inputs.target, self._loaded.window)
        return self._loaded.window

    def encoder(self, seed: int) -> Embedder:
        """As it is; the small rotary one is another under each seed."""
        from etude.search.long.rotary import trained

        return trained(seed) if self._own else self._loaded

    @cached_property
    def documents(self) -> list[str]:
        """What methods that learn may learn from."""
        from etude import data

        return data.load(self.inputs.documents_from, "calibration")

    def stacks(self, seed: int) -> Mapping[int, Haystack]:
        """Documents and questions by length; real ones stand under 0."""
        from etude.search.long.haystacks import handovers, needles, passkeys
        from etude.search.long.sets import SETS

        if seed not in self._stacks:
            inputs, count = self.inputs, min(self.inputs.queries, self.inputs.documents)
            if inputs.data in HIDDEN:
                kinds = {"passkey": passkeys, "needle": needles, "handover": handovers}
                make = kinds[inputs.data]
                self._stacks[seed] = {
                    length: make(self._loaded.tokenizer, length, inputs.documents, count, seed)
                    for length in inputs.lengths
                }
            else:
                self._stacks[seed] = {0: SETS[inputs.data](inputs.documents, count, seed)}
        return self._stacks[seed]

    def check(self, method: Any) -> None:
        """Raise `InputError` if the method is for other positions, or cannot reach the target."""
        if hasattr(method, "check"):
            method.check(self._loaded, self.inputs.target)

    def trial(self, seed: int) -> LongTrial:
        """Documents of its own."""
        _ = self.encoder(seed)
        return LongTrial(self, seed)


class LongTrial:
    """One method on one choice of documents."""

    def __init__(self, case: LongCase, seed: int) -> None:
        self.case, self.seed = case, seed
        self.stacks = case.stacks(seed)
        self.encoder: LongEncoder | None = None
        self.vectors: dict[int, Vectors] = {}
        self.seconds = 0.0

    def apply(self, method: Any) -> None:
        """Stretch the encoder, and encode all documents with it."""
        import time

        given = {"encoder": self.case.encoder(self.seed), "target": self.case.inputs.target}
        if "documents" in takes(method.extend):
            given["documents"] = self.case.documents
        self.encoder = method.extend(**given)
        begun = time.process_time()
        self.vectors = {n: self._done.encode(stack.documents) for n, stack in self.stacks.items()}
        self.seconds = time.process_time() - begun

    def score(self) -> Mapping[str, float]:
        """The share of questions whose document comes first, or for real documents nDCG@10."""
        found = {length: self._found(length) for length in self.stacks}
        beyond = [value for length, value in found.items() if length > self.case.window]
        count = sum(len(stack.documents) for stack in self.stacks.values())
        figures = {
            "found": _mean(list(found.values())),
            "vectors": sum(len(each.values) for each in self.vectors.values()) / count,
            "encode_s": self.seconds / count,
            **{f"at_{length}": value for length, value in found.items() if length},
        }
        if beyond:
            figures["beyond"] = _mean(beyond)
        if self.case.inputs.data in HIDDEN:
            figures["inside"] = self._inside()
        return figures | self._drift()

    def _found(self, length: int) -> float:
        import torch

        from etude.search.long.encoder import best_matches
        from etude.search.long.quality import ndcg

        stack = self.stacks[length]
        queries = self._done.queries(stack.questions)
        scores = best_matches(queries, self.vectors[length], len(stack.documents))
        return ndcg(scores, torch.tensor(stack.answers), 1 if length else BEST)

    def _inside(self) -> float:
        """Share of what is hidden that stands in the original window."""
        return _mean([end <= self.case.window for stack in self.stacks.values() for end in stack.ends])

    def _drift(self) -> dict[str, float]:
        """The largest change of a number in the vectors of texts that fit in the original window."""
        import torch

        short = [
            text for n, stack in self.stacks.items() if 0 < n <= self.case.window for text in stack.documents
        ]
        vectors = [self.vectors[n] for n in self.stacks if 0 < n <= self.case.window]
        if not short or any(len(each.values) > int(each.owners[-1]) + 1 for each in vectors):
            return {}
        before: Tensor = self.case.encoder(self.seed).encode(short)
        after = torch.cat([each.values for each in vectors])
        return {"drift": float((before - after).abs().max())}

    @property
    def _done(self) -> LongEncoder:
        if self.encoder is None:
            raise RuntimeError("apply has not been called")
        return self.encoder

    def save(self, folder: Path) -> None:
        """Write an encoder that `load_long` reads."""
        from etude.search.long.encoder import write

        write(folder, self._done)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


TASK = LongRetrieval()
