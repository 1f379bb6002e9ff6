"""Inequalities between the arms of a study, and what runs say about them."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from etude.engine.figures import figure, interval
from etude.engine.record import Record
from etude.task import Task

Status = Literal["satisfied", "violated", "undecided"]
_UNDECIDED: Status = "undecided"

Results = Mapping[str, Mapping[str, Mapping[int, Record]]]
"""Records by study, arm and seed."""

_RELATIONS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Arm:
    """A method whose inputs differ from those of its study, in how it is calibrated for instance.

    Parameters
    ----------
    method : an instance of a method.
    changes : input fields and their values for this arm.
    """

    method: Any
    changes: Mapping[str, Any]

    def __init__(self, method: Any, **changes: Any) -> None:
        object.__setattr__(self, "method", method)
        object.__setattr__(self, "changes", changes)


@dataclass(frozen=True, kw_only=True)
class Study:
    """Arms that run under the same seeds, and so can be compared in pairs.

    Parameters
    ----------
    name : what reports call it; unique in its claim.
    task, inputs : the frame, and an instance of its ``inputs``.
    arms : for each label a method instance, or an `Arm` where its inputs differ.
    seeds : seeds of every arm.
    """

    name: str
    task: Task
    inputs: Any
    arms: Mapping[str, Any]
    seeds: Sequence[int] = (0, 1, 2)

    def method(self, label: str) -> Any:
        """The method of an arm."""
        arm = self.arms[label]
        return arm.method if isinstance(arm, Arm) else arm

    def changes(self, label: str) -> Mapping[str, Any]:
        """The input fields in which an arm differs from the study."""
        arm = self.arms[label]
        return arm.changes if isinstance(arm, Arm) else {}


@dataclass(frozen=True)
class Inequality:
    """``metric(left) <relation> times * metric(right) + plus``, paired by seed.

    Parameters
    ----------
    metric : name of a metric; several names stand for their geometric mean.
    left : label of an arm.
    relation : "<", "<=", ">" or ">=".
    right : label of an arm, or a number.
    on : the study whose arms these are.
    times, plus : factor and margin on the right.
    over : "every seed"; or a number k, for at least k of the seeds; or "mean", for the mean over the
        seeds, which counts as decided when the 95 % interval of the differences lies on one side of 0.
    log : compare logarithms: differences are those of ratios, means are geometric.
    above : label of an arm whose figure is subtracted from both figures first, so that gaps are compared.

    Notes
    -----
    Where seeds are counted, the inequality is violated when its opposite holds in as many seeds as it
    should hold in itself, and undecided when the seeds disagree more than that. It is undecided
    whenever a run that it needs has failed.

    Raises
    ------
    ValueError : if the study has no such arm, or a gap is to be compared with a number.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> study = Study(name="small", task=SimpleNamespace(name="t"), inputs=None, arms={"a": 1, "b": 2})
    >>> str(Inequality("ppl", "a", "<", "b", on=study, times=0.5, over=2))
    'ppl(a) < 0.5 × ppl(b) in 2 of 3 seeds'
    >>> str(Inequality("ppl", "a", "<", "b", on=study, above="a", times=0.5))
    'ppl(a) - ppl(a) < 0.5 × [ppl(b) - ppl(a)] in all 3 seeds'
    """

    metric: str | tuple[str, ...]
    left: str
    relation: Literal["<", "<=", ">", ">="]
    right: str | float
    on: Study = field(kw_only=True)
    times: float = field(default=1.0, kw_only=True)
    plus: float = field(default=0.0, kw_only=True)
    over: Literal["every seed", "mean"] | int = field(default="every seed", kw_only=True)
    log: bool = field(default=False, kw_only=True)
    above: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.above is not None and not isinstance(self.right, str):
            raise ValueError(
                f"study {self.on.name!r}: the gap above {self.above!r} needs an arm on the right"
            )
        for arm in (self.left, self.right, self.above):
            if isinstance(arm, str) and arm not in self.on.arms:
                raise ValueError(
                    f"study {self.on.name!r} has no arm {arm!r}; it has {', '.join(self.on.arms)}"
                )

    def __str__(self) -> str:
        name = self.metric if isinstance(self.metric, str) else f"√({'·'.join(self.metric)})"
        name = f"log {name}" if self.log else name
        right = f"{name}({self.right})" if isinstance(self.right, str) else f"{self.right:g}"
        left = f"{name}({self.left})"
        if self.above is not None:
            left, right = f"{left} - {name}({self.above})", f"[{right} - {name}({self.above})]"
        right = right if self.times == 1 else f"{self.times:g} × {right}"
        right = right if self.plus == 0 else f"{right} {'+' if self.plus > 0 else '-'} {abs(self.plus):g}"
        return f"{left} {self.relation} {right} {self._scope()}"

    def _scope(self) -> str:
        seeds = len(self.on.seeds)
        if self.over == "mean":
            return f"on the mean of {seeds} seeds"
        if seeds == 1:
            return "in one seed"
        return f"in all {seeds} seeds" if self.over == "every seed" else f"in {self.over} of {seeds} seeds"

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that it compares."""
        return (self.metric,) if isinstance(self.metric, str) else self.metric

    def judge(self, results: Results) -> Finding:
        """What the runs say."""
        arms = results[self.on.name]
        pairs: dict[int, tuple[float, float]] = {}
        missing: list[str] = []
        for seed in self.on.seeds:
            try:
                pairs[seed] = self._sides(arms, seed)
            except LookupError as error:
                missing.append(str(error.args[0]))
        differences = {seed: left - right for seed, (left, right) in pairs.items()}
        status, reason = self._decide(pairs) if not missing else (_UNDECIDED, "; ".join(missing))
        return Finding(str(self), status, reason, bool(missing), self.on.name, differences, self.log)

    def _decide(self, pairs: Mapping[int, tuple[float, float]]) -> tuple[Status, str]:
        if self.over == "mean":
            return _on_the_mean([left - right for left, right in pairs.values()], self.relation)
        holds = [_RELATIONS[self.relation](left, right) for left, right in pairs.values()]
        return _counted(holds, len(holds) if self.over == "every seed" else self.over)

    def _sides(self, arms: Mapping[str, Mapping[int, Record]], seed: int) -> tuple[float, float]:
        ground = 0.0 if self.above is None else self._value(self.above, arms, seed)
        left = self._value(self.left, arms, seed) - ground
        right = (
            self.right if not isinstance(self.right, str) else self._value(self.right, arms, seed) - ground
        )
        right = self.times * right + self.plus
        if not self.log:
            return left, right
        if left <= 0 or right <= 0:
            raise LookupError(f"seed {seed}: a figure is not above 0 and has no logarithm")
        return math.log(left), math.log(right)

    def _value(self, arm: str, arms: Mapping[str, Mapping[int, Record]], seed: int) -> float:
        """The metric, or the geometric mean of several; `LookupError` with the reason if there is none."""
        record = arms[arm].get(seed)
        if record is None:
            raise LookupError(f"{arm}, seed {seed}: not run")
        if record.status != "done":
            raise LookupError(f"{arm}, seed {seed} failed: {record.reason}")
        for name in self.metrics:
            if math.isnan(record.metrics.get(name, math.nan)):
                raise LookupError(f"{arm}, seed {seed}: no figure for {name}")
        values = [record.metrics[name] for name in self.metrics]
        return values[0] if len(values) == 1 else math.prod(values) ** (1 / len(values))


@dataclass(frozen=True)
class Finding:
    """What the runs say about an inequality, or about several taken together.

    Parameters
    ----------
    statement : the inequality in words.
    status : "satisfied", "violated" or "undecided".
    reason : why it is undecided, or in how many seeds it holds.
    missing : whether it is undecided because a run or a figure is missing.
    study : name of the study.
    differences : left side minus right side by seed; of logarithms if ``log``.
    log : whether the differences are those of logarithms.
    parts : the findings of which this one is made.
    """

    statement: str
    status: Status
    reason: str = ""
    missing: bool = False
    study: str = ""
    differences: Mapping[int, float] = field(default_factory=dict)
    log: bool = False
    parts: tuple[Finding, ...] = ()

    @property
    def mean(self) -> float:
        """Of the differences; NaN if there are none."""
        return figure(list(self.differences.values())).mean if self.differences else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """95 % t interval of the mean difference; NaN for fewer than two seeds."""
        values = list(self.differences.values())
        return interval(values) if len(values) > 1 else (math.nan, math.nan)


@dataclass(frozen=True)
class AllOf:
    """Holds if every part does.

    Parameters
    ----------
    parts : inequalities, or `AllOf` and `AnyOf` of some.
    """

    parts: tuple[Inequality | AllOf | AnyOf, ...]

    def __init__(self, *parts: Inequality | AllOf | AnyOf) -> None:
        object.__setattr__(self, "parts", parts)

    def judge(self, results: Results) -> Finding:
        """Violated if a part is, satisfied if all are, else undecided."""
        return _together("all of", [part.judge(results) for part in self.parts], "violated", "satisfied")


@dataclass(frozen=True)
class AnyOf:
    """Holds if at least one part does.

    Parameters
    ----------
    parts : inequalities, or `AllOf` and `AnyOf` of some.
    """

    parts: tuple[Inequality | AllOf | AnyOf, ...]

    def __init__(self, *parts: Inequality | AllOf | AnyOf) -> None:
        object.__setattr__(self, "parts", parts)

    def judge(self, results: Results) -> Finding:
        """Satisfied if a part is, violated if all are, else undecided."""
        return _together("one of", [part.judge(results) for part in self.parts], "satisfied", "violated")


Condition = Inequality | AllOf | AnyOf


def inequalities(condition: Condition) -> list[Inequality]:
    """Those of which a condition is made."""
    if isinstance(condition, Inequality):
        return [condition]
    return [inequality for part in condition.parts for inequality in inequalities(part)]


def _together(heading: str, parts: Sequence[Finding], one: Status, every: Status) -> Finding:
    """Three-valued logic: ``one`` part decides alone, else ``every`` part must agree."""
    statuses = [part.status for part in parts]
    status: Status = one if one in statuses else every if set(statuses) == {every} else "undecided"
    open_parts = [part for part in parts if part.status == "undecided"] if status == "undecided" else []
    return Finding(
        statement=heading,
        status=status,
        reason="; ".join(part.reason for part in open_parts),
        missing=any(part.missing for part in open_parts),
        parts=tuple(parts),
    )


def _counted(holds: Sequence[bool], needed: int) -> tuple[Status, str]:
    count = sum(holds)
    reason = f"holds in {count} of {len(holds)}" if len(holds) > 1 else ""
    if count >= needed:
        return "satisfied", reason
    return ("violated" if len(holds) - count >= needed else "undecided"), reason


def _on_the_mean(differences: Sequence[float], relation: str) -> tuple[Status, str]:
    if len(differences) < 2:
        return "undecided", "one seed gives no interval"
    if not all(map(math.isfinite, differences)):
        return "undecided", "a figure is infinite"
    low, high = interval(differences)
    holds = _RELATIONS[relation]
    if holds(low, 0) and holds(high, 0):
        return "satisfied", ""
    if not holds(low, 0) and not holds(high, 0):
        return "violated", ""
    return "undecided", "the interval contains 0"
