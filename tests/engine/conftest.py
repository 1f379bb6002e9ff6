"""A store of its own for each test, and a log of which runs really took place."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.engine.watch import Log

from etude.engine.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs.db")


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Log:
    path = tmp_path / "executions.log"
    monkeypatch.setenv("ETUDE_TOY_LOG", str(path))
    return Log(path)
