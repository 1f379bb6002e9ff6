"""Entity linking: names and mentions in, a linker out, judged by names that it has learnt and by new ones."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import annotated_types as at

from etude.errors import InputError
from etude.method import check_fields, takes
from etude.task import Metric

if TYPE_CHECKING:
    from etude.data.mentions import Mention, Mentions

TOP = 10


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What linkers learn from.

    Parameters
    ----------
    data : a named set (places, wordnet), or a table with a row for each mention: ``text``, ``name``.
    names : how many there are, at most; which ones depends on the seed.
    held_out : share of the names that are not learnt from, in (0, 1).
    tested : mentions that are judged, of the learnt and of the new names each.
    candidates : names to choose from for a mention, where there are to be few.

    Raises
    ------
    InputError : if a field has the wrong type or is out of range.
    """

    data: str = "places"
    names: Annotated[int, at.Ge(10)] = 2000
    held_out: Annotated[float, at.Interval(gt=0, lt=1)] = 0.2
    tested: Annotated[int, at.Ge(1)] = 400
    candidates: Annotated[int, at.Ge(2)] = 5

    def __post_init__(self) -> None:
        check_fields(self)
        if self.candidates > self.names:
            raise InputError("candidates", f"{self.candidates} are more than the {self.names} names")


@dataclass(frozen=True)
class Link:
    """The task: methods answer to ``fit(names, examples, seed)``, or less of it, with a `Linker`."""

    name: str = "link"
    title: str = "entity linking"
    inputs: type[Inputs] = Inputs
    metrics: tuple[Metric, ...] = (
        Metric("accuracy", "accuracy", "higher", digits=3, axis="quality"),
        Metric("accuracy_known", "learnt names", "higher", digits=3),
        Metric("accuracy_new", "new names", "higher", digits=3),
        Metric("recall_10", "recall@10", "higher", digits=3),
        Metric("accuracy_candidates", "of candidates", "higher", digits=3),
        Metric("candidates_lift", "gain by candidates", "higher", digits=3),
        Metric("valid", "valid", "higher", digits=3),
        Metric("valid_free", "valid without the tree", "higher", digits=3),
        Metric("lift", "gain by the tree", "higher", digits=3),
        Metric("name_bytes", "bytes a name", "lower", digits=1, axis="cost"),
        Metric("link_ms", "CPU time a mention", "lower", unit="ms"),
    )
    baselines: tuple[str, ...] = ("name-words", "name-vectors", "name-towers", "name-classes")

    def open(self, inputs: Inputs) -> LinkCase:
        """Load the mentions."""
        case = LinkCase(inputs)
        case.mentions(0)
        return case


class LinkCase:
    """Names and mentions, as each seed draws and divides them."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs
        self.mentions = cache(self._mentions)

    def _mentions(self, seed: int) -> Mentions:
        from etude.data.mentions import load_mentions

        return load_mentions(self.inputs.data, self.inputs.names, self.inputs.held_out, seed)

    @property
    def fingerprints(self) -> Mapping[str, str]:
        """Identify the mentions."""
        import hashlib

        return {"data": hashlib.sha256(repr(self.mentions(0)).encode()).hexdigest()}

    def check(self, method: Any) -> None:
        """Every method fits all mentions."""

    def trial(self, seed: int) -> LinkTrial:
        """Names and mentions of its own."""
        return LinkTrial(self, seed)


class LinkTrial:
    """One linker on one division."""

    def __init__(self, case: LinkCase, seed: int) -> None:
        self.case, self.seed = case, seed
        self.mentions = case.mentions(seed)
        self.linker: Any = None

    def apply(self, method: Any) -> None:
        """Fit it, with as much as it takes."""
        given = {"names": self.mentions.names, "examples": self.mentions.train, "seed": self.seed}
        wanted = takes(method.fit)
        self.linker = method.fit(**{name: value for name, value in given.items() if name in wanted})

    def score(self) -> Mapping[str, float]:
        """How often the first name is the right one, of all names and of a few."""
        import time

        tested = self.case.inputs.tested
        known, new = self.mentions.test[:tested], self.mentions.new[:tested]
        every, linker = [*known, *new], self._done
        begun = time.process_time()
        found = linker.rank([one.text for one in every], TOP)
        spent = 1000 * (time.process_time() - begun) / len(every)
        few = linker.rank([one.text for one in every], 1, self._candidates(every))
        accuracy, of_few = _first(found, every), _first(few, every)
        figures = {
            "accuracy": accuracy,
            "accuracy_new": _first(found[len(known) :], new),
            "recall_10": sum(one.name in row for row, one in zip(found, every, strict=True)) / len(every),
            "accuracy_candidates": of_few,
            "candidates_lift": of_few - accuracy,
            "name_bytes": linker.nbytes / len(self.mentions.names),
            "link_ms": spent,
        }
        if known:
            figures["accuracy_known"] = _first(found[: len(known)], known)
        return figures | self._freely(every, found, accuracy)

    def _candidates(self, every: Sequence[Mention]) -> list[list[int]]:
        """The right name and some others for each mention, in the order of the catalogue."""
        draw, names = random.Random(self.seed), range(len(self.mentions.names))
        few = self.case.inputs.candidates
        others = [draw.sample(names, few) for _ in every]
        return [
            sorted([one.name, *[n for n in drawn if n != one.name][: few - 1]])
            for one, drawn in zip(every, others, strict=True)
        ]

    def _freely(
        self, every: Sequence[Mention], found: Sequence[Sequence[int]], bound: float
    ) -> dict[str, float]:
        """What a generating linker says when nothing is forbidden."""
        from etude.search.link.linkers import Generating

        if not isinstance(self._done, Generating):
            return {}
        said, names = self._done.free([one.text for one in every]), set(self.mentions.names)
        right = sum(text == self.mentions.names[one.name] for text, one in zip(said, every, strict=True))
        return {
            "valid": sum(map(bool, found)) / len(every),
            "valid_free": sum(text in names for text in said) / len(every),
            "lift": bound - right / len(every),
        }

    @property
    def _done(self) -> Any:
        if self.linker is None:
            raise RuntimeError("apply has not been called")
        return self.linker

    def save(self, folder: Path) -> None:
        """Write a linker that `load_linker` reads."""
        from etude.search.link.linker import save_linker

        save_linker(self._done, folder)


def _first(found: Sequence[Sequence[int]], every: Sequence[Mention]) -> float:
    return sum(row[:1] == [one.name] for row, one in zip(found, every, strict=True)) / len(every)


TASK = Link()
