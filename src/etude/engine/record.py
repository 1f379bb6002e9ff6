"""The record of a run: what determined it, and what came of it."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Record:
    """One method on one input under one seed, and what came of it.

    Parameters
    ----------
    key : address of the run, a hash of what determines it; see `etude.engine.run.key`.
    status : "done", or "failed" with the traceback in ``error``.
    task, method : names.
    paper : slug of the method's paper; None for a baseline.
    parameters : the method's hyper-parameters.
    inputs : the task's input fields as the user gave them.
    fingerprints : digests of what the inputs held.
    seed : seed of the run.
    metrics : the task's figures, and ``wall_s``, ``cpu_s`` (seconds), ``peak_mb`` and ``extra_mb``
        (10^6 bytes) of the method's work alone.
    artifact : folder of what the method made; None if it was not kept.
    started : UTC, ISO 8601.
    environment : versions, processor, threads.
    error : traceback of a failed run.

    Examples
    --------
    >>> record = Record(key="0f", status="done", task="demo", method="halve", metrics={"loss": float("inf")})
    >>> record.to_json()["metrics"]
    {'loss': 'inf'}
    >>> Record.from_json(record.to_json()) == record
    True
    """

    key: str
    status: Literal["done", "failed"]
    task: str
    method: str
    paper: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, Any] = field(default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict)
    seed: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    artifact: str | None = None
    started: str = ""
    environment: dict[str, Any] = field(default_factory=dict)
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values; figures that are not finite become text, which JSON can hold."""
        return dataclasses.asdict(self) | {"metrics": {k: number(v) for k, v in self.metrics.items()}}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Record:
        """The record that `to_json` described."""
        return cls(**dict(values) | {"metrics": {k: float(v) for k, v in values["metrics"].items()}})

    @property
    def reason(self) -> str:
        """The last line of a failed run's traceback; "" for a run that is done."""
        lines = (self.error or "").strip().splitlines()
        return lines[-1] if lines else ""


def number(value: float) -> float | str:
    """A figure for JSON, which has no infinity and no NaN: these become "inf", "-inf" and "nan".

    Examples
    --------
    >>> number(1.5), number(float("-inf"))
    (1.5, '-inf')
    """
    return value if math.isfinite(value) else str(value)


def canonical(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces; paths become text.

    Examples
    --------
    >>> canonical({"b": (1, 2), "a": None})
    '{"a":null,"b":[1,2]}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str, ensure_ascii=False)
