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

from etude import claims
from etude.engine.compare import compare
from etude.engine.inequality import AllOf, AnyOf, Condition, Finding, Inequality, Study, inequalities
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
    "Claim",
    "Finding",
    "Inequality",
    "Study",
    "Verdict",
    "check",
    "outcome",
    "save",
]

outcome = claims.outcome


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
    studies = [dataclasses.replace(study, inputs=_changed(study, inputs or {})) for study in claim.studies]
    groups: dict[tuple[str, str, tuple[int, ...]], list[Study]] = {}
    for study in studies:
        address = (study.task.name, canonical(parameters(study.inputs)), tuple(study.seeds))
        groups.setdefault(address, []).append(study)
    for together in groups.values():
        _admit(together)
    store = Store() if store is None else store
    results: dict[str, dict[str, dict[int, Record]]] = {}
    for together in groups.values():
        results |= _run(together, store, jobs, fresh)
    return Verdict.of(claim, studies, results)


def save(verdict: Verdict, folder: Path = claims.RESULTS) -> Path:
    """Write a verdict as ``<slug>.json``, where `outcome` finds it."""
    path = folder / f"{verdict.claim.paper}.json"
    with new_file(path) as temporary:
        text = json.dumps(verdict.to_json(), indent=2, ensure_ascii=False, allow_nan=False, default=str)
        temporary.write_text(text + "\n", encoding="utf-8")
    return path


def _changed(study: Study, changes: Mapping[str, Any]) -> Any:
    known = parameters(study.inputs)
    for name in changes:
        if name not in known:
            raise unknown("inputs", name, known)
    return dataclasses.replace(study.inputs, **changes)


def _admit(together: Sequence[Study]) -> None:
    """Open and check everything once before the first run of any study."""
    task = together[0].task
    case = task.open(together[0].inputs)
    for study in together:
        for method in study.arms.values():
            admit(method, task, case, study.seeds)


def _run(
    together: Sequence[Study], store: Store, jobs: int | None, fresh: bool
) -> dict[str, dict[str, dict[int, Record]]]:
    """Studies on the same inputs and seeds as one comparison; the records by study, arm and seed."""
    one = together[0]
    methods = [method for study in together for method in study.arms.values()]
    found = compare(
        methods, one.task, one.inputs, seeds=one.seeds, store=store, jobs=jobs, keep="none", fresh=fresh
    )
    runs: dict[tuple[str, str], dict[int, Record]] = {}
    for record in found.records:
        runs.setdefault(setting(record), {})[record.seed] = record
    return {
        study.name: {label: runs.get(setting(method), {}) for label, method in study.arms.items()}
        for study in together
    }
