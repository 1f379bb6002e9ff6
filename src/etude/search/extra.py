"""What the area needs beyond the base install."""

from __future__ import annotations

from importlib.util import find_spec

from etude.errors import InputError

PACKAGES = {
    "faiss": "faiss-cpu",
    "ir_measures": "ir-measures",
    "scipy": "scipy",
    "sentence_transformers": "sentence-transformers",
}


def require_extra() -> None:
    """Raise `InputError` naming the extra if a package of it is not installed."""
    missing = [package for module, package in PACKAGES.items() if find_spec(module) is None]
    if missing:
        raise InputError("method", f"needs {', '.join(missing)}: pip install 'etude[search]'")
