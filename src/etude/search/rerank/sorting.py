"""Sorting by comparisons that may be inconsistent: the first k of a list."""

from __future__ import annotations

from collections.abc import Callable, Iterable

Better = Callable[[int, int], bool]
"""Whether the first of two items is surely the better one."""


def bubbled(items: Iterable[int], k: int, better: Better) -> list[int]:
    """``k`` passes from the end to the beginning, in which neighbours change places if the later is better.

    After pass p the best p are at the front, where comparisons are consistent.

    Examples
    --------
    >>> bubbled([3, 2, 1, 0], 1, lambda first, second: first < second)
    [0, 3, 2, 1]
    """
    order = list(items)
    for settled in range(min(k, len(order) - 1)):
        for place in range(len(order) - 1, settled, -1):
            if better(order[place], order[place - 1]):
                order[place - 1], order[place] = order[place], order[place - 1]
    return order


def heap_sorted(items: Iterable[int], k: int, better: Better) -> list[int]:
    """The first ``k`` out of a heap; the others follow as they stood.

    Examples
    --------
    >>> heap_sorted([3, 2, 1, 0], 2, lambda first, second: first < second)
    [0, 1, 3, 2]
    """
    order = list(items)
    heap = list(order)
    for place in reversed(range(len(heap) // 2)):
        _sift(heap, place, better)
    first: list[int] = []
    while heap and len(first) < k:
        first.append(heap[0])
        last = heap.pop()
        if heap:
            heap[0] = last
            _sift(heap, 0, better)
    return first + [item for item in order if item not in set(first)]


def _sift(heap: list[int], place: int, better: Better) -> None:
    """Let an item sink below those that are better."""
    while (child := 2 * place + 1) < len(heap):
        if child + 1 < len(heap) and better(heap[child + 1], heap[child]):
            child += 1
        if not better(heap[child], heap[place]):
            return
        heap[place], heap[child] = heap[child], heap[place]
        place = child
