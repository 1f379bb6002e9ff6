"""What came of checking a claim: the outcome, the findings behind it and the figures behind them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from etude.engine.inequality import Condition, Finding, Results, Status, Study
from etude.engine.record import Record, number
from etude.engine.rows import Row, inputs_text, metrics_of, row, row_json
from etude.method import parameters

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions

    from etude.engine.claim import Claim

Outcome = Literal["holds", "does not hold", "not decided"]

_MARKS = {"satisfied": "✓", "violated": "✗", "undecided": "?"}
_COLOURS = {"holds": "green", "does not hold": "red", "not decided": "yellow"}


@dataclass(frozen=True)
class Verdict:
    """A checked claim.

    Parameters
    ----------
    claim : what was checked.
    outcome : "holds", "does not hold" or "not decided".
    must_hold, refuted_if, reported : what the runs say about each of the claim's conditions.
    studies : the studies as they were run.
    results : the records by study, arm and seed.
    """

    claim: Claim
    outcome: Outcome
    must_hold: tuple[Finding, ...]
    refuted_if: tuple[Finding, ...]
    reported: tuple[Finding, ...]
    studies: tuple[Study, ...]
    results: Results

    @classmethod
    def of(cls, claim: Claim, studies: Sequence[Study], results: Results) -> Verdict:
        """Judge a claim by its runs."""

        def judge(conditions: Sequence[Condition]) -> tuple[Finding, ...]:
            return tuple(condition.judge(results) for condition in conditions)

        must, refuted = judge(claim.must_hold), judge(claim.refuted_if)
        outcome = decide(must, refuted)
        return cls(claim, outcome, must, refuted, judge(claim.reported), tuple(studies), results)

    @property
    def records(self) -> list[Record]:
        """Every run behind the verdict, once."""
        runs = [record for arms in self.results.values() for arm in arms.values() for record in arm.values()]
        return list({record.key: record for record in runs}.values())

    def rows(self, study: Study) -> list[Row]:
        """The arms of a study, in its order."""
        arms = self.results[study.name]
        return [row(label, study.method(label), arms[label].values()) for label in study.arms]

    def to_json(self) -> dict[str, Any]:
        """The verdict as JSON values: outcome, findings, figures, failures, when and where."""
        records = self.records
        return {
            "paper": self.claim.paper,
            "statement": self.claim.statement,
            "outcome": self.outcome,
            "must_hold": [_finding_json(finding) for finding in self.must_hold],
            "refuted_if": [_finding_json(finding) for finding in self.refuted_if],
            "reported": [_finding_json(finding) for finding in self.reported],
            "studies": [self._study_json(study) for study in self.studies],
            "checked": max((record.started for record in records), default=""),
            "environment": records[0].environment if records else {},
        }

    def _study_json(self, study: Study) -> dict[str, Any]:
        return {
            "name": study.name,
            "task": study.task.name,
            "inputs": parameters(study.inputs),
            "seeds": list(study.seeds),
            "arms": [
                row_json(arm) | {"changed_inputs": dict(study.changes(arm.label))} for arm in self.rows(study)
            ],
        }

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Any]:
        from rich.markup import escape
        from rich.text import Text

        from etude.engine.table import table

        named = {name for inequality in self.claim.inequalities for name in inequality.metrics}
        for study in self.studies:
            rows = self.rows(study)
            metrics = metrics_of(study.task, [record for each in rows for record in each.records])
            title = f"{study.name}: {inputs_text(study.inputs)}"
            yield table(rows, metrics, title, first=named, width=options.max_width)
            for each in rows:
                if changes := study.changes(each.label):
                    yield Text(f"  {each.label}: on {inputs_text(changes)}", style="dim")
                for failure in each.failures:
                    yield Text(f"  {each.label}, seed {failure.seed} failed: {failure.reason}", style="red")
        roles: tuple[tuple[str, tuple[Finding, ...], Status | None], ...] = (
            ("Must hold", self.must_hold, "satisfied"),
            ("Refuted if", self.refuted_if, "violated"),
            ("Reported, without a say", self.reported, None),
        )
        for heading, findings, good in roles:
            if findings:
                yield Text(f"\n{heading}", style="bold")
                for finding in findings:
                    yield from _finding_lines(finding, 1, good)
        colour = _COLOURS[self.outcome]
        yield f"\n[bold {colour}]{self.outcome}[/]  {escape(self.claim.statement)}"


def decide(must_hold: Sequence[Finding], refuted_if: Sequence[Finding]) -> Outcome:
    """The outcome; see `etude.engine.claim.Claim`."""
    if any(f.status == "satisfied" for f in refuted_if) or any(f.status == "violated" for f in must_hold):
        return "does not hold"
    if all(f.status == "satisfied" for f in must_hold) and not any(f.missing for f in refuted_if):
        return "holds"
    return "not decided"


def _finding_json(finding: Finding) -> dict[str, Any]:
    values: dict[str, Any] = {
        "statement": finding.statement,
        "status": finding.status,
        "reason": finding.reason,
    }
    if finding.parts:
        return values | {"parts": [_finding_json(part) for part in finding.parts]}
    return values | {
        "study": finding.study,
        "of_logarithms": finding.log,
        "differences": {str(seed): number(value) for seed, value in finding.differences.items()},
        "mean": number(finding.mean),
        "interval_95": [number(end) for end in finding.interval],
    }


def _finding_lines(finding: Finding, depth: int, good: Status | None) -> Iterator[Any]:
    """The finding in green if it speaks for the claim, in red if against it."""
    from rich.markup import escape
    from rich.padding import Padding

    colour = "yellow" if finding.status == "undecided" else "green" if finding.status == good else "red"
    mark = f"[{colour if good else 'default'}]{_MARKS[finding.status]}[/]"
    where = f" [dim]· {escape(finding.study)}[/]" if finding.study else ""
    why = f" [dim]({escape(finding.reason)})[/]" if finding.reason and not finding.parts else ""
    yield Padding(f"{mark} {escape(finding.statement)}{where}{why}", (0, 0, 0, 2 * depth), expand=False)
    if finding.differences:
        yield Padding(f"[dim]{_differences(finding)}[/]", (0, 0, 0, 2 * depth + 2), expand=False)
    for part in finding.parts:
        yield from _finding_lines(part, depth + 1, good)


def _differences(finding: Finding) -> str:
    """Left minus right by seed, their mean and its interval; as ratios where logarithms are compared."""

    def show(value: float) -> str:
        return f"{math.exp(value):.4g}" if finding.log else f"{value:+.4g}"

    name = "left / right" if finding.log else "left - right"
    text = f"{name} by seed: {', '.join(map(show, finding.differences.values()))}"
    low, high = finding.interval
    if math.isnan(low):
        return text
    mean = f"{'geometric ' if finding.log else ''}mean {show(finding.mean)}"
    return f"{text}; {mean}, 95 % interval {show(low)} to {show(high)}"
