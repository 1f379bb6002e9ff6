"""Sliding windows: a list sorted with the help of something that can only sort a few at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Window:
    """Some neighbours of one of several lists.

    Parameters
    ----------
    row : which list.
    items : what of it, in its present order.
    """

    row: int
    items: Sequence[int]


Sorter: TypeAlias = Callable[[Sequence[Window]], Sequence[Sequence[int]]]
"""Gives the items of each window in a better order; windows of one call do not depend on each other."""


def spans(count: int, window: int, stride: int) -> Iterator[tuple[int, int]]:
    """Where windows begin and end on a list of ``count``, from its end to its beginning.

    Each lies ``stride`` before the last, so that its best ``window - stride`` are in the next one too; the
    last begins at 0. After one pass of a right sorter the first ``window - stride`` of the list are right.

    Examples
    --------
    >>> list(spans(37, window=20, stride=10))
    [(17, 37), (7, 27), (0, 17)]
    >>> len(list(spans(100, window=20, stride=10)))
    9
    """
    end = count
    while end > 1:
        start = max(end - window, 0)
        yield start, end
        end = end - stride if start else 0


def read(count: int, window: int, stride: int, complete: bool = False) -> int:
    """How many passages are read in all by one pass of windows, or by as many as sort the whole list.

    Examples
    --------
    >>> read(100, 20, 10), read(100, 20, 10, complete=True), read(100, 100, 10)
    (180, 900, 100)
    """
    once = sum(end - start for start, end in spans(count, window, stride))
    if not complete or count <= window:
        return once
    return once + read(count - (window - stride), window, stride, complete=True)


def slide(rows: Sequence[Sequence[int]], sort: Sorter, window: int, stride: int) -> list[list[int]]:
    """One pass of windows over several lists, step by step together.

    Parameters
    ----------
    rows : lists of items.
    sort : see `Sorter`; asked once a step, for the windows of all lists that have one left.
    window : how many items it sorts at once.
    stride : how far windows move, less than ``window``.

    Examples
    --------
    >>> exact = lambda windows: [sorted(window.items) for window in windows]
    >>> slide([[5, 4, 3, 2, 1, 0]], exact, window=4, stride=2)
    [[0, 1, 4, 5, 2, 3]]
    """
    orders = [list(row) for row in rows]
    steps = [list(spans(len(row), window, stride)) for row in rows]
    for step in range(max(map(len, steps), default=0)):
        busy = [(row, *steps[row][step]) for row in range(len(rows)) if step < len(steps[row])]
        found = sort([Window(row, orders[row][start:end]) for row, start, end in busy])
        for (row, start, end), items in zip(busy, found, strict=True):
            orders[row][start:end] = items
    return orders


def slide_all(rows: Sequence[Sequence[int]], sort: Sorter, window: int, stride: int) -> list[list[int]]:
    """Passes of windows until the whole lists are sorted: the complete label of FullRank.

    After each pass the first ``window - stride`` of what was still open are settled; the last pass is the one
    that fits a window. With a right sorter the outcome is the exact order.

    Examples
    --------
    >>> exact = lambda windows: [sorted(window.items) for window in windows]
    >>> slide_all([[5, 4, 3, 2, 1, 0], [1, 0]], exact, window=4, stride=2)
    [[0, 1, 2, 3, 4, 5], [0, 1]]
    """
    settled: list[list[int]] = [[] for _ in rows]
    rest = [list(row) for row in rows]
    while any(rest):
        for row, order in enumerate(slide(rest, sort, window, stride)):
            count = len(order) if len(order) <= window else window - stride
            settled[row] += order[:count]
            rest[row] = order[count:]
    return settled
