"""What a task is: the frame in which methods of one kind are run, scored and set side by side.

The engine drives every task through four small interfaces (`Metric`, `Trial`, `Case`, `Task`) and
knows nothing else about it, so a task may turn a model into a model, a corpus into an index or a table
into an estimator. The common checks drive it through two more (`Example`, `Checks`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

REPORT = "etude-report.json"
"""A file that a trial may write beside its artifact: rows of a table, ``[{column: value}]``, which
`etude run` prints."""


@dataclass(frozen=True)
class Metric:
    """One figure of a run, and how to show it.

    Parameters
    ----------
    name : key in a run's ``metrics``.
    title : column heading.
    better : which direction is better; None for a figure that only describes.
    unit : printed behind the number (``"MB"``, ``"tokens/s"``), or "".
    digits : digits after the point in tables.
    axis : where plots use it: the ``"quality"`` that methods compete on, or what it ``"cost"``s.
    """

    name: str
    title: str
    better: Literal["lower", "higher"] | None
    unit: str = ""
    digits: int = 2
    axis: Literal["quality", "cost"] | None = None


class Trial(Protocol):
    """One method on one case under one seed; made fresh for every run."""

    def apply(self, method: Any) -> None:
        """Do the method's work. The only part that is timed."""

    def score(self) -> Mapping[str, float]:
        """Judge the outcome: a figure for each of the task's metrics that applies."""

    def save(self, folder: Path) -> None:
        """Write the artifact, in a format that the ecosystem loads, into an empty folder; see `REPORT`."""


class Case(Protocol):
    """The opened and checked inputs, shared by all methods and seeds of a comparison."""

    @property
    def fingerprints(self) -> Mapping[str, str]:
        """What identifies the content of each input (model, data): part of a run's address."""

    def check(self, method: Any) -> None:
        """Raise `InputError` if this method cannot run on these inputs, before any work."""

    def trial(self, seed: int) -> Trial:
        """A fresh trial: own copies, own random draws."""


class Task(Protocol):
    """One per folder ``etude/<area>/<task>``, as ``TASK`` in its ``task.py``."""

    @property
    def name(self) -> str:
        """What methods call it, and users."""

    @property
    def title(self) -> str:
        """What it is, in a few words."""

    @property
    def inputs(self) -> type[Any]:
        """A frozen dataclass of input fields, each with a default; they become flags, like a method's."""

    @property
    def metrics(self) -> Sequence[Metric]:
        """What a run is judged by, in the order of a table's columns."""

    @property
    def baselines(self) -> Sequence[str]:
        """Names of the methods that a comparison adds unless told not to."""

    def open(self, inputs: Any) -> Case:
        """Load and check what the inputs name, or raise `InputError` naming the field."""


@dataclass(frozen=True)
class Example:
    """Tiny arguments of a task's verb, for the checks that every method must pass.

    Parameters
    ----------
    name : what is special about them.
    make : gives the arguments by name, anew and the same at every call; a method gets those it takes.
    wrong : the argument that is malformed, so that the method must raise `InputError` naming it; None
        if all are good.
    refusable : whether a method may refuse them, by an `InputError` before any work.
    """

    name: str
    make: Callable[[], dict[str, Any]]
    wrong: str | None = None
    refusable: bool = False


class Checks(Protocol):
    """What a task adds to `etude.testing.check_method`: ``CHECKS`` in ``checks.py`` beside ``task.py``.

    It may also have ``settings(method)``, the fields to check a method with where its defaults do not suit
    tiny inputs: fewer iterations, say.
    """

    @property
    def verb(self) -> str:
        """Name of the function that its methods answer to."""

    @property
    def edits(self) -> Sequence[str]:
        """The arguments that the verb edits; all others must stay as they were."""

    def examples(self) -> Sequence[Example]:
        """Good arguments, one example for each kind that every method must take."""

    def malformed(self) -> Sequence[Example]:
        """Bad arguments, each wrong in one place."""

    def identity(self, method: Any) -> Mapping[str, Any] | None:
        """The settings under which this method must change nothing; None if it has none."""

    def outcome(self, arguments: Mapping[str, Any], returned: Any) -> Any:
        """What the verb made: what it returned, or the argument that it edited."""

    def look(self, outcome: Any) -> Any:
        """An outcome in numbers, text, arrays and tensors, as mappings and lists of them."""

    def reload(self, outcome: Any, folder: Path) -> Any:
        """Save an outcome into a folder that does not exist yet, and load it from there."""
