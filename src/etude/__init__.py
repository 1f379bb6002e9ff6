"""Papers as methods that you can run on your own model and data, set side by side, and check.

>>> import etude
>>> etude.papers()["flap"].venue
'AAAI 2024'

Everything below is imported when it is first used, so that ``import etude`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from etude.errors import InputError

if TYPE_CHECKING:
    from etude import data, models
    from etude.api import claim, compare, run
    from etude.catalog import methods, papers

__version__ = "0.1.0"
__all__ = [
    "InputError",
    "__version__",
    "claim",
    "compare",
    "data",
    "methods",
    "models",
    "papers",
    "run",
]

_HOMES = {"papers": "catalog", "methods": "catalog", "run": "api", "compare": "api", "claim": "api"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"etude.{_HOMES[name]}"), name)
    if name in ("data", "models"):
        return import_module(f"etude.{name}")
    raise AttributeError(f"module 'etude' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
