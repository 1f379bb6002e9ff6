"""One run: a method on a case under a seed, timed, scored, its artifact and its record kept."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import os
import sys
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import etude
from etude.engine.artifact import building
from etude.engine.environment import environment
from etude.engine.measure import measured
from etude.engine.record import Record, canonical
from etude.engine.store import Store
from etude.errors import InputError
from etude.method import parameters
from etude.seeds import seeded
from etude.task import Case, Task

__all__ = ["NOTE", "Record", "RunFailed", "key", "run"]

NOTE = "etude-run.json"
"""File in an artifact's folder that says which run made it."""


class RunFailed(RuntimeError):
    """A method, or the judging or saving of its outcome, raised an error.

    Parameters
    ----------
    record : of the failed run, as the store holds it, with the traceback.
    """

    def __init__(self, record: Record) -> None:
        super().__init__(f"{record.method} (seed {record.seed}) failed: {record.reason}")
        self.record = record

    def __reduce__(self) -> tuple[type[RunFailed], tuple[Record]]:
        return type(self), (self.record,)


def run(
    method: Any,
    task: Task,
    inputs: Any,
    *,
    seed: int = 0,
    store: Store | None = None,
    out: str | os.PathLike[str] | None = None,
    case: Case | None = None,
    keep: bool = True,
) -> Record:
    """Apply a method once, and keep what came of it.

    Opens and checks the inputs, applies the method under the seed (only this is timed), scores the
    outcome under the same seed, writes the artifact whole or not at all, then the record. Runs even
    if the store holds the same run already.

    Parameters
    ----------
    method : an instance of a method of ``task``.
    task, inputs : the frame, and an instance of its ``inputs``.
    seed : of Python's, numpy's and torch's random numbers.
    store : where the record goes; None for the user's own.
    out : folder for the artifact, new or empty; None for a place in the store.
    case : what ``task.open(inputs)`` gave, if it is at hand.
    keep : whether to keep the artifact when no ``out`` is given.

    Raises
    ------
    InputError : before any work, if an input, the method on these inputs, or ``out`` cannot be used.
    RunFailed : if the work fails; the store then holds a failed record with the traceback.
    """
    target = None if out is None else _free(Path(out).absolute())
    case = task.open(inputs) if case is None else case
    admit(method, task, case, [seed])
    store = Store() if store is None else store
    record = describe(method, task, inputs, case.fingerprints, seed)
    if target is None and keep:
        target = store.artifacts / record.key
    record = replace(record, artifact=None if target is None else str(target))
    with contextlib.ExitStack() as stack:
        folder = None if target is None else _enter(stack, target, "store" if out is None else "out")
        try:
            record = replace(record, metrics=_work(method, case, record, folder))
            stack.close()  # the artifact is whole: it gets its name
        except Exception as error:
            record = replace(record, status="failed", artifact=None, error=traceback.format_exc())
            store.put(record)
            raise RunFailed(record) from error
    store.put(record)
    return record


def admit(method: Any, task: Task, case: Case, seeds: Iterable[int]) -> None:
    """Raise `InputError` if the method, or a seed, does not fit."""
    if method.task != task.name:
        raise InputError("method", f"{method.name} is a method of task {method.task}, not of {task.name}")
    for seed in seeds:
        if not 0 <= seed < 2**32:
            raise InputError("seed", f"{seed} is not in [0, 2**32)")
    case.check(method)


def describe(method: Any, task: Task, inputs: Any, fingerprints: Mapping[str, str], seed: int) -> Record:
    """The record of a run before it has begun: what determines it, when and where."""
    return Record(
        key=key(method, task, inputs, fingerprints, seed),
        status="done",
        task=task.name,
        method=method.name,
        paper=method.paper,
        parameters=_plain(parameters(method)),
        inputs=_plain(parameters(inputs)),
        fingerprints=dict(fingerprints),
        seed=seed,
        started=datetime.now(UTC).isoformat(),
        environment=environment(),
    )


def key(method: Any, task: Task, inputs: Any, fingerprints: Mapping[str, str], seed: int) -> str:
    """The address of a run: sixteen hex digits that change with anything that determines its outcome.

    That is the method's name, the sources of its module and of its task's, Etude's version, the
    parameters, the inputs and the seed. An input that has a fingerprint counts by what it holds, not
    by its name, so that a model that was moved is still the same model.

    Examples
    --------
    >>> import dataclasses
    >>> from etude.method import method
    >>> from types import SimpleNamespace
    >>> @method("halve", task="demo")
    ... class Halve:
    ...     pass
    >>> @dataclasses.dataclass(frozen=True)
    ... class Inputs:
    ...     model: str = "a"
    >>> demo = SimpleNamespace(name="demo")
    >>> first = key(Halve(), demo, Inputs("a"), {"model": "9f"}, seed=0)
    >>> first == key(Halve(), demo, Inputs("moved/a"), {"model": "9f"}, seed=0)
    True
    >>> first == key(Halve(), demo, Inputs("a"), {"model": "e2"}, seed=0)
    False
    """
    named = {name: value for name, value in parameters(inputs).items() if name not in fingerprints}
    determinants = {
        "method": method.name,
        "source": _source_digest(type(method)),
        "judge": _source_digest(type(task)),
        "etude": etude.__version__,
        "parameters": parameters(method),
        "task": task.name,
        "inputs": named,
        "fingerprints": dict(fingerprints),
        "seed": seed,
    }
    return hashlib.sha256(canonical(determinants).encode()).hexdigest()[:16]


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """As they come back from a store: lists for tuples, text for paths."""
    plain: dict[str, Any] = json.loads(json.dumps(values, default=str))
    return plain


def _source_digest(cls: type) -> str:
    """Of the module that defines the class, or where there is no file, of the class or its name."""
    for thing in (sys.modules.get(cls.__module__), cls):
        with contextlib.suppress(OSError, TypeError):
            return hashlib.sha256(inspect.getsource(thing).encode()).hexdigest()  # type: ignore[arg-type]
    return cls.__qualname__


def _work(method: Any, case: Case, record: Record, folder: Path | None) -> dict[str, float]:
    """Apply, score and save; returns the figures."""
    with seeded(record.seed):
        trial = case.trial(record.seed)
        with measured() as measures:
            trial.apply(method)
    with seeded(record.seed):  # again, for judging must not depend on how much chance the method used
        metrics = {name: float(value) for name, value in trial.score().items()} | measures
    if folder is not None:
        trial.save(folder)
        note = json.dumps(replace(record, metrics=metrics).to_json(), indent=2, default=str)
        (folder / NOTE).write_text(note + "\n", encoding="utf-8")
    return metrics


def _enter(stack: contextlib.ExitStack, target: Path, field: str) -> Path:
    try:
        return stack.enter_context(building(target))
    except OSError as error:
        raise InputError(field, f"cannot write {target}: {error.strerror or error}") from error


def _free(out: Path) -> Path:
    if out.exists() and not out.is_dir():
        raise InputError("out", f"{out} is a file; name a new folder")
    if out.is_dir() and any(out.iterdir()):
        raise InputError("out", f"{out} is not empty; name a new folder")
    return out
