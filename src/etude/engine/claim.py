"""Claims: what a paper asserts, as inequalities between runs, and the check of them.

A claim's file, ``etude/claims/<slug>.py``, states studies (arms under seeds on given inputs) and what
must hold between their arms::

    small = Study(name="small", task=TASK, inputs=Inputs(model="nano-llama"), arms={
        "new": New(ratio=0.2),
        "old": Old(ratio=0.2),
    })
    CLAIM = Claim(
        paper="new",
        statement="New loses less perplexity than Old at the same size.",
        studies=(small,),
        must_hold=(Inequality("perplexity", "new", "<", "old", on=small),),
        refuted_if=(Inequality("perplexity", "old", "<=", "new", on=small, over=2),),
    )
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etude.engine.compare import compare
from etude.engine.inequality import AllOf, AnyOf, Arm, Condition, Finding, Inequality, Study, inequalities
from etude.engine.record import Record, canonical
from etude.engine.rows import setting
from etude.engine.run import admit
from etude.engine.store import Store
from etude.engine.verdict import Verdict
from etude.errors import unknown
from etude.files import new_file
from etude.method import parameters

__all__ = [
    "AllOf",
    "AnyOf",
    "Arm",
    "Claim",
    "Finding",
    "Inequality",
    "Study",
    "Verdict",
    "check",
    "save",
]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a paper claims, in a form that can be checked at small scale.

    It *holds* if everything that must hold is satisfied and nothing that refutes it is. It *does not
    hold* if something that refutes it is satisfied, or something that must hold is violated. Else it
    is *not decided*: the seeds disagree, the interval is too wide, or a run failed.

    Parameters
    ----------
    paper : slug of the paper's card.
    statement : the claim in a sentence.
    studies : what is run.
    must_hold : inequalities that the claim asserts.
    refuted_if : inequalities that refute it, where they are not just the opposite of the former.
    reported : inequalities that are shown and have no say.

    Raises
    ------
    ValueError : if two studies have the same name, or an inequality is on a study that is not listed.
    """

    paper: str
    statement: str
    studies: Sequence[Study]
    must_hold: Sequence[Condition]
    refuted_if: Sequence[Condition] = ()
    reported: Sequence[Condition] = ()

    def __post_init__(self) -> None:
        names = [study.name for study in self.studies]
        if len(set(names)) < len(names):
            raise ValueError(f"claim {self.paper}: two studies have the same name among {', '.join(names)}")
        for inequality in self.inequalities:
            if inequality.on.name not in names:
                raise ValueError(f"claim {self.paper}: study {inequality.on.name!r} is not listed")

    @property
    def inequalities(self) -> list[Inequality]:
        """All of them, whatever their role."""
        conditions = (*self.must_hold, *self.refuted_if, *self.reported)
        return [inequality for condition in conditions for inequality in inequalities(condition)]


def check(
    claim: Claim,
    *,
    store: Store | None = None,
    jobs: int | None = None,
    inputs: Mapping[str, Any] | None = None,
    fresh: bool = False,
) -> Verdict:
    """Run what the claim needs and the store does not hold, and judge.

    Parameters
    ----------
    claim : what to check.
    store, jobs, fresh : as in `etude.engine.compare.compare`.
    inputs : fields to change in every study's inputs, to check the claim on another model, say.

    Raises
    ------
    InputError : before any work, if a study's inputs, or a method on them, cannot be used.
    """
    studies = [dataclasses.replace(s, inputs=_changed(s.inputs, inputs or {})) for s in claim.studies]
    results: dict[str, dict[str, dict[int, Record]]] = {study.name: {} for study in studies}
    groups: dict[tuple[str, str, tuple[int, ...]], list[_Place]] = {}
    for study in studies:
        for label in study.arms:
            place = _Place(study, label, _changed(study.inputs, study.changes(label)))
            address = (study.task.name, canonical(parameters(place.inputs)), tuple(study.seeds))
            groups.setdefault(address, []).append(place)
    for places in groups.values():
        _admit(places)
    store = Store() if store is None else store
    for places in groups.values():
        for place, records in zip(places, _run(places, store, jobs, fresh), strict=True):
            results[place.study.name][place.label] = records
    return Verdict.of(claim, studies, results)


def save(verdict: Verdict, folder: Path) -> Path:
    """Write a verdict as ``<slug>.json``; in `etude.claims.RESULTS` the catalogue finds it."""
    path = folder / f"{verdict.claim.paper}.json"
    with new_file(path) as temporary:
        text = json.dumps(verdict.to_json(), indent=2, ensure_ascii=False, allow_nan=False, default=str)
        temporary.write_text(text + "\n", encoding="utf-8")
    return path


@dataclass(frozen=True)
class _Place:
    """Where in a claim records belong, and what makes them."""

    study: Study
    label: str
    inputs: Any

    @property
    def method(self) -> Any:
        return self.study.method(self.label)


def _changed(inputs: Any, changes: Mapping[str, Any]) -> Any:
    known = parameters(inputs)
    for name in changes:
        if name not in known:
            raise unknown("inputs", name, known)
    return dataclasses.replace(inputs, **changes)


def _admit(places: Sequence[_Place]) -> None:
    """Open and check everything before the first run of any study."""
    task = places[0].study.task
    case = task.open(places[0].inputs)
    for place in places:
        admit(place.method, task, case, place.study.seeds)


def _run(places: Sequence[_Place], store: Store, jobs: int | None, fresh: bool) -> list[dict[int, Record]]:
    """Arms on the same inputs and seeds as one comparison; the records of each by seed."""
    study, inputs = places[0].study, places[0].inputs
    methods = [place.method for place in places]
    found = compare(
        methods, study.task, inputs, seeds=study.seeds, store=store, jobs=jobs, keep="none", fresh=fresh
    )
    runs: dict[tuple[str, str], dict[int, Record]] = {}
    for record in found.records:
        runs.setdefault(setting(record), {})[record.seed] = record
    return [runs.get(setting(method), {}) for method in methods]
