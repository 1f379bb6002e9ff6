"""Settings over their seeds: the rows that tables, reports and claims show."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from etude.engine.figures import Figure, figure
from etude.engine.measure import MEASURES
from etude.engine.record import Record, canonical, number
from etude.method import parameters
from etude.task import Metric, Task


@dataclass(frozen=True)
class Row:
    """One setting of one method over its seeds.

    Parameters
    ----------
    label : the method's name, and the parameters that set it apart.
    method, parameters : what was run.
    figures : mean and spread of each metric over the seeds that are done.
    records : the runs that are done.
    failures : the runs that failed.
    """

    label: str
    method: str
    parameters: dict[str, Any]
    figures: dict[str, Figure]
    records: tuple[Record, ...]
    failures: tuple[Record, ...]


def row(label: str, method: Any, records: Iterable[Record]) -> Row:
    """The row of a method, given its runs."""
    mine = list(records)
    done = tuple(record for record in mine if record.status == "done")
    names = dict.fromkeys(name for record in done for name in record.metrics)
    return Row(
        label=label,
        method=method.name,
        parameters=parameters(method),
        figures={n: figure([r.metrics[n] for r in done if n in r.metrics]) for n in names},
        records=done,
        failures=tuple(record for record in mine if record.status == "failed"),
    )


def row_json(row: Row) -> dict[str, Any]:
    """The row as JSON values: mean, spread and every seed's figure; why runs failed."""
    return {
        "label": row.label,
        "method": row.method,
        "parameters": row.parameters,
        "figures": {
            name: {
                "mean": number(figure.mean),
                "std": number(figure.std),
                "by_seed": {str(r.seed): number(r.metrics[name]) for r in row.records if name in r.metrics},
            }
            for name, figure in row.figures.items()
        },
        "failures": [{"seed": failure.seed, "reason": failure.reason} for failure in row.failures],
    }


def inputs_text(inputs: Any) -> str:
    """Input fields and their values in a line, without those that are not set.

    Examples
    --------
    >>> inputs_text({"model": "nano-llama", "domain": None, "samples": 8, "sets": ["sst2", "rte"]})
    'model nano-llama, samples 8, sets sst2+rte'
    """
    values = inputs if isinstance(inputs, Mapping) else parameters(inputs)
    unset: tuple[Any, ...] = (None, "", (), [])
    return ", ".join(f"{name} {_in_words(value)}" for name, value in values.items() if value not in unset)


def _in_words(value: Any) -> str:
    return "+".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)


def metrics_of(task: Task, records: Iterable[Record]) -> list[Metric]:
    """The task's metrics and the engine's measures of which at least one run has a figure."""
    present = {name for record in records for name in record.metrics}
    return [metric for metric in (*task.metrics, *MEASURES) if metric.name in present]


def setting(method: Any) -> tuple[str, str]:
    """What tells one setting from another, for a method as for a `Record`: name and parameters."""
    values = method.parameters if isinstance(method, Record) else parameters(method)
    return (method.method if isinstance(method, Record) else method.name), canonical(values)


def labels(methods: Sequence[Any]) -> list[str]:
    """A name for each setting: the method's, and the parameters not at their default or not the same in all.

    Examples
    --------
    >>> from etude.method import method
    >>> @method("halve", task="demo")
    ... class Halve:
    ...     share: float = 0.5
    ...     exact: bool = False
    >>> labels([Halve()]), labels([Halve(), Halve(share=0.25)]), labels([Halve(exact=True)])
    (['halve'], ['halve share=0.5', 'halve share=0.25'], ['halve exact=true'])
    """
    seen: dict[tuple[str, str], set[str]] = {}
    for method in methods:
        for name, value in parameters(method).items():
            seen.setdefault((method.name, name), set()).add(canonical(value))
    found = []
    for method in methods:
        apart = [
            f"{name}={value if isinstance(value, str) else canonical(value)}"
            for name, value in parameters(method).items()
            if len(seen[method.name, name]) > 1 or value != _default(method, name)
        ]
        found.append(" ".join([method.name, *apart]))
    return found


def _default(method: Any, name: str) -> Any:
    field = next(field for field in dataclasses.fields(method) if field.name == name)
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default
