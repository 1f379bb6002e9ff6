"""Methods side by side: a grid of settings and seeds, of which only what is missing is run."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from etude.engine.artifact import sweep
from etude.engine.environment import cores
from etude.engine.pool import Lost, Pool
from etude.engine.record import Record
from etude.engine.rows import Row, labels, metrics_of, row, row_json, setting
from etude.engine.run import NOTE, RunFailed, admit, describe, run
from etude.engine.scale import OnRay, RayPool, on_ray
from etude.engine.store import Store
from etude.errors import InputError
from etude.method import parameters
from etude.progress import track
from etude.task import Case, Metric, Task

Keep = Literal["first", "all", "none"]


@dataclass(frozen=True)
class Comparison:
    """What came of methods × settings × seeds on the same inputs.

    Parameters
    ----------
    task, inputs : the frame and what was opened.
    methods : the settings, in the order in which they are shown.
    seeds : the seeds of each.
    records : a record for each run, done or failed, by setting and seed.
    left_out : methods that cannot run on these inputs, and why.
    """

    task: Task
    inputs: Any
    methods: tuple[Any, ...]
    seeds: tuple[int, ...]
    records: tuple[Record, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The task's, as a heading."""
        return self.task.title[:1].upper() + self.task.title[1:]

    @property
    def metrics(self) -> list[Metric]:
        """The metrics of which at least one run has a figure: the task's, then the engine's."""
        return metrics_of(self.task, self.records)

    def rows(self) -> list[Row]:
        """One row for each setting, in the given order."""
        runs: dict[tuple[str, str], list[Record]] = {}
        for record in self.records:
            runs.setdefault(setting(record), []).append(record)
        names = zip(labels(self.methods), self.methods, strict=True)
        return [row(label, method, runs.get(setting(method), [])) for label, method in names]

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values: inputs, metrics, figures of each setting, and every run's record."""
        return {
            "task": self.task.name,
            "inputs": parameters(self.inputs),
            "seeds": list(self.seeds),
            "metrics": [dataclasses.asdict(metric) for metric in self.metrics],
            "rows": [row_json(row) for row in self.rows()],
            "runs": [record.to_json() for record in self.records],
            "left_out": dict(self.left_out),
        }


def compare(
    methods: Iterable[Any],
    task: Task,
    inputs: Any,
    *,
    seeds: Iterable[int] = (0, 1, 2),
    store: Store | None = None,
    jobs: int | None = None,
    keep: Keep = "first",
    fresh: bool = False,
    on: str = "",
    fitting: bool = False,
) -> Comparison:
    """Run every method under every seed, but only what the store does not hold.

    Each run writes its artifact and then its record by itself, so an interruption loses only the
    runs under way, and the same call again does the rest. A run that fails, or whose process is
    killed, is recorded as failed and does not stop the others; the next call tries it again.

    Parameters
    ----------
    methods : instances of methods of ``task``.
    task, inputs : the frame, and an instance of its ``inputs``.
    seeds : seeds of each setting.
    store : where records and artifacts go; None for the user's own.
    jobs : worker processes; None for one a core, 1 for none beside this one.
    keep : of which seeds the artifacts are kept.
    fresh : run again what the store holds.
    on : "ray", or "ray:ADDRESS" for an existing cluster, instead of processes of this machine; its nodes must
        reach the store, and see the same files.
    fitting : leave out methods that cannot run on these inputs, as long as some can.

    Raises
    ------
    InputError : before any work, if an input, or a method on these inputs, cannot be used.
    """
    grid = tuple({setting(method): method for method in methods}.values())
    seeds = tuple(dict.fromkeys(seeds))
    _check_grid(grid, seeds, jobs, keep)
    workers = cores() if jobs is None else jobs
    cluster = on_ray(on, workers) if on else None
    case = task.open(inputs)
    grid, left_out = _admitted(grid, task, case, seeds, fitting)
    store = Store() if store is None else store
    records: dict[str, Record | None] = {}
    todo: list[_Job] = []
    for method in grid:
        for seed in seeds:
            job = _Job(
                method=method,
                planned=describe(method, task, inputs, case.fingerprints, seed),
                keep=keep == "all" or (keep == "first" and seed == seeds[0]),
            )
            records[job.planned.key] = None if fresh else _held(store, job)
            if records[job.planned.key] is None:
                todo.append(job)
    runner = _Runner(task, inputs, store.url)
    with closing(_run_all(runner, todo, case, store, workers, cluster)) as results:
        for record in track(results, f"comparing {task.title}", total=len(todo)):
            records[record.key] = record
    done = tuple(record for record in records.values() if record is not None)
    return Comparison(task, inputs, grid, seeds, done, left_out)


def _admitted(
    methods: tuple[Any, ...], task: Task, case: Case, seeds: tuple[int, ...], fitting: bool
) -> tuple[tuple[Any, ...], dict[str, str]]:
    """The methods that can run; and if others may be left out, those that cannot, with the reason."""
    admitted, refused = [], {}
    for method in methods:
        try:
            admit(method, task, case, seeds)
            admitted.append(method)
        except InputError as error:
            if not fitting:
                raise
            refused[method.name] = error
    if not admitted:
        raise next(iter(refused.values()))
    return tuple(admitted), {name: str(error) for name, error in refused.items()}


def _check_grid(methods: Sequence[Any], seeds: Sequence[int], jobs: int | None, keep: str) -> None:
    if not methods:
        raise InputError("methods", "name at least one method to run")
    if not seeds:
        raise InputError("seeds", "give at least one seed")
    if jobs is not None and jobs < 1:
        raise InputError("jobs", f"{jobs} is not >= 1")
    if keep not in get_args(Keep):
        raise InputError("keep", f"{keep!r} is not one of {', '.join(get_args(Keep))}")


@dataclass(frozen=True)
class _Job:
    """A run to do: ``planned`` is its record before it has begun."""

    method: Any
    planned: Record
    keep: bool


@dataclass
class _Runner:
    """Does jobs in whatever process it finds itself in; opens the inputs once."""

    task: Task
    inputs: Any
    url: str
    case: Case | None = None
    store: Store | None = None

    def __call__(self, job: _Job) -> Record:
        self.case = self.case or self.task.open(self.inputs)
        self.store = self.store or Store(self.url)
        method, seed = job.method, job.planned.seed
        try:
            return run(
                method, self.task, self.inputs, seed=seed, store=self.store, case=self.case, keep=job.keep
            )
        except RunFailed as failure:
            return failure.record


def _held(store: Store, job: _Job) -> Record | None:
    """The run as the store holds it, if it is done and its artifact, where one is wanted, is in its place."""
    record = store.get(job.planned.key)
    if record is None or record.status != "done":
        return None
    return record if not job.keep or _has_artifact(record) else None


def _has_artifact(record: Record) -> bool:
    """Whether the folder is still there and still this run's."""
    if record.artifact is None:
        return False
    try:
        note = json.loads((Path(record.artifact) / NOTE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(note, dict) and note.get("key") == record.key


def _run_all(
    runner: _Runner, todo: list[_Job], case: Case, store: Store, jobs: int, cluster: OnRay | None
) -> Generator[Record]:
    """Records of the jobs, as they are done."""
    if jobs == 1 and cluster is None:
        yield from map(dataclasses.replace(runner, case=case, store=store), todo)
        return
    workers = min(jobs, len(todo))
    pool: Pool[Record] | RayPool[Record] = (
        Pool(runner, workers, max(1, cores() // max(1, workers)))
        if cluster is None
        else RayPool(runner, cluster.workers, cluster.address)
    )
    try:
        with closing(pool.map(todo)) as results:
            for index, result in results:
                if isinstance(result, Lost):
                    result = dataclasses.replace(todo[index].planned, status="failed", error=result.reason)
                    store.put(result)
                yield result
    finally:
        if store.artifacts.is_dir():
            sweep(store.artifacts)  # of workers that had to be killed
