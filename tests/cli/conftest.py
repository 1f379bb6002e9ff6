from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from etude.cli import call


@dataclass(frozen=True)
class Answer:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Etude = Callable[..., Answer]


@pytest.fixture
def etude(capsys: pytest.CaptureFixture[str]) -> Etude:
    """Run a command line, as words of one string or one by one."""

    def etude(*words: str) -> Answer:
        capsys.readouterr()
        code = call(words[0].split() if len(words) == 1 else words)
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return etude
