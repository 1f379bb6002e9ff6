"""Looking at what runs left behind."""

from __future__ import annotations

from collections import Counter
from pathlib import Path


class Log:
    """What the toy task notes when its work begins and ends, in whatever process."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def lines(self, word: str) -> Counter[str]:
        text = self.path.read_text() if self.path.exists() else ""
        lines = (line for line in text.splitlines() if line.startswith(word))
        return Counter(line.removeprefix(word).strip() for line in lines)

    @property
    def started(self) -> Counter[str]:
        return self.lines("start")

    @property
    def ended(self) -> Counter[str]:
        return self.lines("end")


def visible(folder: Path) -> list[Path]:
    """The artifacts in a folder, without what is being built."""
    return sorted(path for path in _entries(folder) if not path.name.startswith("."))


def hidden(folder: Path) -> list[Path]:
    """What is being built, or was left half-built."""
    return sorted(path for path in _entries(folder) if path.name.startswith("."))


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.exists() else []
