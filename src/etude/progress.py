"""Progress bars: seen when a command runs in a terminal, silent in library calls and pipes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

T = TypeVar("T")

_shown = False
_open: Progress | None = None


@contextmanager
def shown(yes: bool = True) -> Iterator[None]:
    """Show the bars of every `track` inside this block; the command line uses it."""
    global _shown
    before, _shown = _shown, yes
    try:
        yield
    finally:
        _shown = before
        if not before:
            _close()  # where an error left a loop, its bars stand until somebody takes them away


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Iterate over ``items`` with a progress bar on stderr if bars are `shown` and it is a terminal.

    Examples
    --------
    >>> [n * n for n in track(range(3), "squaring")]
    [0, 1, 4]
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    with _display() as progress:
        if progress is None:
            yield from items
            return
        bar = progress.add_task(description, total=total)
        try:
            for item in items:
                yield item
                progress.advance(bar)
        finally:
            progress.remove_task(bar)


@contextmanager
def _display() -> Iterator[Progress | None]:
    """What bars are drawn on: one display for those of work within work; None where none are to be seen."""
    global _open
    if _open is None and _shown:
        from rich.console import Console
        from rich.progress import Progress

        console = Console(stderr=True)
        if console.is_terminal:
            _open = mine = Progress(console=console, transient=True)
            mine.start()
            try:
                yield mine
            finally:
                if _open is mine:
                    _close()
            return
    yield _open


def _close() -> None:
    global _open
    if _open is not None:
        _open.stop()
        _open = None
