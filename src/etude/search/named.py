"""Methods of a task of search by name; the catalogue, which knows all, is above what methods import."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from etude.errors import unknown


def named(package: ModuleType, name: str, field: str) -> type[Any]:
    """The method class of that name that a task's package exports.

    Raises
    ------
    InputError : naming ``field``, with the nearest names.

    Examples
    --------
    >>> from etude.search import rerank
    >>> named(rerank, "first-stage", "method").__name__
    'FirstStage'
    """
    exported: list[Any] = [value for value in vars(package).values() if isinstance(value, type)]
    known: dict[str, type[Any]] = {cls.name: cls for cls in exported if hasattr(cls, "task")}
    if name not in known:
        raise unknown(field, name, known)
    return known[name]
