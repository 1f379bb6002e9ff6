from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import pytest

from etude.progress import shown, track

T = TypeVar("T")


class Terminal:
    """A stderr that says that it is a terminal."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Terminal]:
    """Puts a terminal in the place of stderr when called: pytest puts its own there after fixtures."""

    def terminal() -> Terminal:
        made = Terminal()
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr(sys, "stderr", made)
        return made

    return terminal


def slowly(items: Iterable[T]) -> Iterator[T]:
    """With time for a bar to be drawn."""
    for item in items:
        time.sleep(0.15)
        yield item


def test_silent_in_library_calls_even_in_a_terminal(terminal: Callable[[], Terminal]) -> None:
    screen = terminal()
    assert list(track(range(3), "counting")) == [0, 1, 2]
    assert screen.text == ""


def test_silent_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with shown():
        assert list(track(range(3), "counting")) == [0, 1, 2]
    assert capsys.readouterr() == ("", "")


def test_bars_of_work_within_work_stand_together(terminal: Callable[[], Terminal]) -> None:
    screen = terminal()
    with shown():
        seen = [
            (outer, inner) for outer in track("ab", "outer") for inner in slowly(track(range(2), "inner"))
        ]
    assert seen == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert "outer" in screen.text
    assert "inner" in screen.text


def test_bars_end_with_the_block_and_with_an_error(terminal: Callable[[], Terminal]) -> None:
    screen = terminal()
    with shown(), pytest.raises(ValueError, match="stop"):
        for _ in slowly(track(range(3), "first")):
            raise ValueError("stop")
    assert "first" in screen.text
    screen.text = ""
    list(track(range(3), "second"))
    assert screen.text == ""
    with shown():
        list(slowly(track(range(3), "third")))
    assert "third" in screen.text
