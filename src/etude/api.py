"""What `etude.run`, `etude.compare` and `etude.claim` do: names become methods, and go to the engine."""

from __future__ import annotations

import importlib
import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from etude import catalog
from etude.errors import InputError, unknown
from etude.fields import Field, build, field, fields

if TYPE_CHECKING:
    from etude.engine.claim import Verdict
    from etude.engine.compare import Comparison
    from etude.engine.record import Record
    from etude.engine.store import Store
    from etude.task import Task

Settings = Mapping[str, Any]


def run(
    method: str | Any,
    *,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    store: Store | str | os.PathLike[str] | None = None,
    **values: Any,
) -> Record:
    """Run one method once and keep the record and what it made.

    Parameters
    ----------
    method : a name from `etude.methods`, or an instance of a method.
    seed : of all random numbers.
    out : a new folder for the artifact; None for a place in the store.
    store : where the record goes, a store or the file or URL of one; None for the user's own.
    values : the task's inputs (for pruning ``model``, ``data``, ...) and the method's fields.

    Raises
    ------
    InputError : before any work, naming what cannot be used.
    etude.engine.run.RunFailed : if the work fails; its ``record`` holds the traceback.

    Examples
    --------
    >>> record = run("flap", model="nano-llama", ratio=0.2, samples=8)     # doctest: +SKIP
    >>> record.metrics["perplexity"], record.artifact                      # doctest: +SKIP
    """
    from etude.engine import run as engine

    cls = catalog.method(method) if isinstance(method, str) else type(method)
    task = catalog.task(cls.task)
    settings, inputs = split(cls, task, values)
    if not isinstance(method, str) and settings:
        raise InputError(
            next(iter(settings)), f"is set in the instance of {cls.name} already; give its name instead"
        )
    instance = build(cls, settings) if isinstance(method, str) else method
    return engine.run(instance, task, build(task.inputs, inputs), seed=seed, store=_opened(store), out=out)


def compare(
    methods: Iterable[str | Any] = (),
    *,
    task: str | None = None,
    seeds: int | Iterable[int] = 3,
    settings: Settings | None = None,
    baselines: bool = True,
    out: str | os.PathLike[str] | None = None,
    store: Store | str | os.PathLike[str] | None = None,
    jobs: int | None = None,
    keep: Literal["first", "all", "none"] = "first",
    fresh: bool = False,
    on: str = "",
    **inputs: Any,
) -> Comparison:
    """Set methods side by side on the same inputs; what the store holds is not run again.

    Parameters
    ----------
    methods : names from `etude.methods`, or instances of methods; all of one task.
    task : the name of that task, where several have methods of these names. Without methods all of the task
        are taken that can run on the inputs.
    seeds : how many seeds, from 0, or the seeds.
    settings : values to try for each field: ``{"ratio": [0.1, 0.2]}`` for every method that has the
        field, ``{"flap.ratio": [0.2]}`` for one; several make a grid. Values may be text.
    baselines : whether to add the task's baselines.
    out : a folder for the report; None for none.
    store : where records go, a store or the file or URL of one; None for the user's own.
    jobs : worker processes; None for one a core.
    keep : of which seeds to keep what the methods made.
    fresh : run again what the store holds.
    on : "ray", or "ray:ADDRESS" for an existing cluster, instead of processes of this machine.
    inputs : the task's inputs (for pruning ``model``, ``data``, ...).

    Raises
    ------
    InputError : before any work, naming what cannot be used.

    Examples
    --------
    >>> found = compare(["magnitude", "wanda"], settings={"sparsity": [0.3, 0.5]})   # doctest: +SKIP
    >>> [(row.label, row.figures["perplexity"].mean) for row in found.rows()]        # doctest: +SKIP
    """
    from etude.engine.compare import compare as engine

    asked = list(methods)
    everything = task is not None and not asked
    asked = asked if task is None else of_task(asked, task)
    frame = common_task(asked)
    chosen = with_baselines(asked, frame) if baselines else asked
    found = engine(
        grid(chosen, settings or {}, frame.name),
        frame,
        build(frame.inputs, inputs),
        seeds=range(seeds) if isinstance(seeds, int) else seeds,
        store=_opened(store),
        jobs=jobs,
        keep=keep,
        fresh=fresh,
        on=on,
        fitting=everything,
    )
    if out is not None:
        from etude.engine.report import write

        write(found, out)
    return found


def claim(
    slug: str,
    *,
    store: Store | str | os.PathLike[str] | None = None,
    jobs: int | None = None,
    fresh: bool = False,
    **inputs: Any,
) -> Verdict:
    """Run what a paper's claim needs, and say whether it holds.

    Parameters
    ----------
    slug : of the paper.
    store : where records go, a store or the file or URL of one; None for the user's own.
    jobs : worker processes; None for one a core.
    fresh : run again what the store holds.
    inputs : what to change in the inputs that the claim states, such as ``model``.

    Raises
    ------
    InputError : if there is no such paper, no claim for it, or an input cannot be used.

    Examples
    --------
    >>> claim("flap", model="./my-llama").outcome      # doctest: +SKIP
    'holds'
    """
    from etude.engine.claim import check

    return check(find_claim(slug), store=_opened(store), jobs=jobs, fresh=fresh, inputs=inputs)


def _opened(store: Store | str | os.PathLike[str] | None) -> Store | None:
    """The store that a file or URL names; a store as it is."""
    if not isinstance(store, (str, os.PathLike)):
        return store
    from etude.engine.store import Store

    return Store(store)


def find_claim(slug: str) -> Any:
    """The ``CLAIM`` of a paper, or `InputError`."""
    card = catalog.paper(slug)
    if slug not in catalog.claimed():
        known = ", ".join(catalog.claimed()) or "none"
        raise InputError("claim", f"{card.name} has no claim to check yet; those that have: {known}")
    return importlib.import_module(f"etude.claims.{catalog.module_name(slug)}").CLAIM


def common_task(methods: Sequence[str | Any]) -> Task:
    """The task of all these methods, or `InputError` if there is none or more than one."""
    if not methods:
        raise InputError("methods", "none is given; name one or more, such as magnitude wanda")
    tasks = [catalog.tasks_of(each) if isinstance(each, str) else [each.task] for each in methods]
    common = sorted(set.intersection(*map(set, tasks)))
    if not common:
        pairs = dict(zip((each[0] for each in tasks), methods, strict=True))
        words = ", ".join(f"{as_class(each, task).name} of {task}" for task, each in pairs.items())
        raise InputError("methods", f"are of different tasks ({words}); compare methods of one task")
    if len(common) > 1:
        raise InputError(
            "methods", f"are of several tasks; write {' or '.join(common)} before one: task/name"
        )
    return catalog.task(common[0])


def of_task(methods: Sequence[str | Any], task: str) -> list[str | Any]:
    """Methods by the full names that they have in a task; all of the task if none is given.

    Examples
    --------
    >>> of_task(["wanda", "prune/dense"], "prune")
    ['prune/wanda', 'prune/dense']
    """
    known = catalog.methods_of(task)
    named = (each if not isinstance(each, str) or each in known else f"{task}/{each}" for each in methods)
    return [*named] or [*known]


def with_baselines(methods: Iterable[str | Any], task: Task) -> list[str | Any]:
    """The baselines of the task, the methods, and the baselines that the methods name."""
    chosen = list(methods)
    asked = {as_class(method, task.name).name for method in chosen}
    beside = [name for method in chosen for name in as_class(method, task.name).beside]
    return [name for name in dict.fromkeys([*task.baselines, *beside]) if name not in asked] + chosen


def grid(methods: Iterable[str | Any], settings: Settings, task: str | None = None) -> list[Any]:
    """Instances of the methods: every combination of the settings for the fields that each has.

    Raises
    ------
    InputError : for a setting that applies to none of the methods, naming the fields that exist.
    """
    chosen = list(methods)
    classes = [as_class(method, task) for method in chosen]
    _check_used(settings, classes)
    instances: list[Any] = []
    for method, cls in zip(chosen, classes, strict=True):
        if not isinstance(method, str):
            instances.append(method)
            continue
        own = {name: settings[key] for name, key in _keys(cls, settings).items()}
        several = [_several(field(cls, name), values) for name, values in own.items()]
        instances += [
            build(cls, dict(zip(own, values, strict=True))) for values in itertools.product(*several)
        ]
    return instances


def split(cls: type[Any], task: Task, values: Settings) -> tuple[dict[str, Any], dict[str, Any]]:
    """Values by whose fields they are: the method's, and the task's inputs'.

    Raises
    ------
    InputError : for a name that is a field of neither, or of both.
    """
    own, given = ({f.name for f in fields(each)} for each in (cls, task.inputs))
    for name in sorted(own & given):
        raise InputError(cls.name, f"its field {name} is an input of {task.name} too; rename the field")
    for name in values:
        if name not in own | given:
            raise unknown(name, name, own | given)
    return (
        {name: value for name, value in values.items() if name in own},
        {name: value for name, value in values.items() if name not in own},
    )


def as_class(method: str | Any, task: str | None = None) -> Any:
    """The class of a method given by name, perhaps of a task that is known, or as an instance."""
    return catalog.method(method, task) if isinstance(method, str) else type(method)


def _several(of: Field, values: Any) -> Sequence[Any]:
    """The values to try for a field; text, as it comes from a shell, in the field's type."""
    several = (
        list(values) if isinstance(values, Iterable) and not isinstance(values, (str, tuple)) else [values]
    )
    if not several:
        raise InputError(of.name, "has no value to try; give one or more")
    return [of.parse(value) if isinstance(value, str) else value for value in several]


def _keys(cls: type[Any], settings: Settings) -> dict[str, str]:
    """The setting for each field that has one: the method's own before the common one."""
    names = [each.name for each in fields(cls)]
    common = {name: name for name in names if name in settings}
    own = {name: f"{cls.name}.{name}" for name in names if f"{cls.name}.{name}" in settings}
    return common | own


def _check_used(settings: Settings, classes: Sequence[type[Any]]) -> None:
    usable = {key for cls in classes for f in fields(cls) for key in (f.name, f"{cls.name}.{f.name}")}
    for name in settings:
        if name not in usable:
            have = (f"{cls.name}: {', '.join(f.name for f in fields(cls)) or 'none'}" for cls in classes)
            raise InputError(name, f"is a field of none of these methods ({'; '.join(have)})")
