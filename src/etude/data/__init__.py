"""Text: read, divided into calibration and evaluation, cut into segments of tokens.

What needs torch is imported when it is first used, so that ``import etude.data`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from etude.data.segments import calibration as calibration
    from etude.data.segments import evaluation as evaluation
    from etude.data.sets import SETS as SETS
    from etude.data.sources import check_disjoint as check_disjoint
    from etude.data.sources import fingerprint as fingerprint
    from etude.data.sources import load as load

_HOMES = {
    "SETS": "sets",
    "calibration": "segments",
    "check_disjoint": "sources",
    "evaluation": "segments",
    "fingerprint": "sources",
    "load": "sources",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"etude.data.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'etude.data' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
