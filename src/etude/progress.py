"""Progress bars: seen when a command runs in a terminal, silent in library calls and pipes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

_shown = False


@contextmanager
def shown(yes: bool = True) -> Iterator[None]:
    """Show the bars of every `track` inside this block; the command line uses it."""
    global _shown
    before, _shown = _shown, yes
    try:
        yield
    finally:
        _shown = before


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Iterate over ``items`` with a progress bar on stderr if bars are `shown` and it is a terminal.

    Examples
    --------
    >>> [n * n for n in track(range(3), "squaring")]
    [0, 1, 4]
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    if not _shown:
        yield from items
        return
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if not console.is_terminal:
        yield from items
        return
    with Progress(console=console, transient=True) as progress:
        yield from progress.track(items, total=total, description=description)
