"""A tiny backbone of two languages and one that was added, as its recipe makes it."""

from __future__ import annotations

import pytest

from etude.search.modular.backbones import BACKBONES, make
from etude.search.modular.encoder import Modular

TEXTS = [
    "All human beings are born free.",
    "Alle Menschen sind frei und gleich geboren.",
    "Todos los seres humanos nacen libres e iguales.",
]
LANGUAGES = ["en", "de", "es"]


@pytest.fixture(scope="session")
def backbone() -> Modular:
    return make(BACKBONES["tiny-xmod"])
