"""The toy task: guess the mean of a list of numbers while looking at few of them."""

from __future__ import annotations

import hashlib
import json
import os
import random
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import annotated_types as at

from etude.errors import InputError
from etude.method import check_fields, parameters
from etude.task import Metric


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a toy run is given.

    Parameters
    ----------
    numbers : a ``.json`` file that holds a list of numbers, or a text file with one a line; or
        "primes", the first hundred of them.
    size : how many of them are used, from the first.
    """

    numbers: str = "primes"
    size: Annotated[int, at.Ge(2)] = 40

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class ToyTask:
    """Opens the numbers; see `etude.task.Task`."""

    name: str = "toy"
    title: str = "Guess a mean"
    inputs: type[Inputs] = Inputs
    metrics: Sequence[Metric] = (
        Metric("error", "error", "lower", digits=3, axis="quality"),
        Metric("bytes", "size", "lower", unit="bytes", digits=0, axis="cost"),
        Metric("guess", "guess", None, digits=3),
    )
    baselines: Sequence[str] = ("toy-mean",)

    def open(self, inputs: Inputs) -> ToyCase:
        """Read and check the numbers."""
        numbers = _primes(100) if inputs.numbers == "primes" else _read(Path(inputs.numbers))
        if len(numbers) < inputs.size:
            raise InputError("size", f"{inputs.numbers} holds {len(numbers)} numbers; ask for at most that")
        return ToyCase(tuple(numbers[: inputs.size]))


@dataclass(frozen=True)
class ToyCase:
    """The opened numbers."""

    numbers: tuple[float, ...]

    @property
    def fingerprints(self) -> Mapping[str, str]:
        """A digest of the numbers."""
        return {"numbers": hashlib.sha256(json.dumps(self.numbers).encode()).hexdigest()[:16]}

    def check(self, method: Any) -> None:
        """A share must leave something to look at."""
        if getattr(method, "share", 1) * len(self.numbers) < 1:
            raise InputError("share", f"leaves none of {len(self.numbers)} numbers; give a larger share")

    def trial(self, seed: int) -> ToyTrial:
        """A fresh trial; its numbers are jittered by its seed."""
        draw = random.Random(seed)
        return ToyTrial(tuple(number + draw.uniform(-1, 1) for number in self.numbers), seed)


@dataclass
class ToyTrial:
    """One guess."""

    numbers: tuple[float, ...]
    seed: int
    guess: float = field(default=float("nan"))

    def apply(self, method: Any) -> None:
        """Guess; where $ETUDE_TOY_LOG names a file, note there when the work began and ended."""
        label = f"{method.name} {json.dumps(parameters(method))} seed={self.seed}"
        _note(f"start {label}")
        self.guess = method.guess(self.numbers)
        _note(f"end {label}")

    def score(self) -> Mapping[str, float]:
        """The distance from the true mean."""
        return {
            "error": abs(self.guess - statistics.fmean(self.numbers)),
            "bytes": float(len(str(self.guess))),
            "guess": self.guess,
        }

    def save(self, folder: Path) -> None:
        """Write the guess, in two files with a pause between if $ETUDE_TOY_SAVE asks for one (seconds)."""
        (folder / "guess.json").write_text(json.dumps(self.guess))
        time.sleep(float(os.environ.get("ETUDE_TOY_SAVE", "0")))
        (folder / "complete").write_text("yes")


def _read(path: Path) -> list[float]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError("numbers", f"cannot read {path}: {error.strerror}") from error
    try:
        return [float(n) for n in (json.loads(text) if path.suffix == ".json" else text.split())]
    except (TypeError, ValueError) as error:
        raise InputError("numbers", f"{path} does not hold a list of numbers: {error}") from error


def _primes(count: int) -> list[float]:
    found: list[int] = []
    candidate = 2
    while len(found) < count:
        if all(candidate % prime for prime in found):
            found.append(candidate)
        candidate += 1
    return [float(prime) for prime in found]


def _note(line: str) -> None:
    if path := os.environ.get("ETUDE_TOY_LOG"):
        with open(path, "a", encoding="utf-8") as log:
            log.write(f"{line}\n")


TASK = ToyTask()
