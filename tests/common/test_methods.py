"""Every method of the catalogue passes the common checks."""

from __future__ import annotations

from typing import Any

import pytest

from etude import catalog
from etude.testing import check_method

OWN = {name: cls for name, cls in catalog.methods().items() if cls.__module__.startswith("etude.")}

SETTINGS: dict[str, dict[str, Any]] = {
    "eq-net": {"tries": 5, "measured": 20, "generations": 5},
    "lsq-plus-vision": {"tries": 5},
}
"""Of methods whose defaults take minutes on the smallest model."""


@pytest.mark.parametrize("cls", OWN.values(), ids=OWN.keys())
def test_method(cls: type[Any]) -> None:
    check_method(cls, **SETTINGS.get(cls.name, {}))
