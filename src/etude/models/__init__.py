"""Models: loaded, saved, measured, and walked through block by block.

What needs torch is imported when it is first used, so that ``import etude.models`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from etude.models.loading import BUILT_IN as BUILT_IN
    from etude.models.loading import load as load
    from etude.models.measure import nonzero_fraction as nonzero_fraction
    from etude.models.measure import parameter_count as parameter_count
    from etude.models.measure import perplexity as perplexity
    from etude.models.measure import sparsity as sparsity
    from etude.models.saving import save as save

_HOMES = {
    "BUILT_IN": "loading",
    "load": "loading",
    "nonzero_fraction": "measure",
    "parameter_count": "measure",
    "perplexity": "measure",
    "save": "saving",
    "sparsity": "measure",
}
_MODULES = ("blocks", "fingerprint", "inputs", "measure", "stats")

__all__ = [*_HOMES, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"etude.models.{_HOMES[name]}"), name)
    if name in _MODULES:
        return import_module(f"etude.models.{name}")
    raise AttributeError(f"module 'etude.models' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
