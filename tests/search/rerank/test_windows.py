"""Sliding windows: with a sorter that is right, what must come out is known exactly."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from etude.search.collection import Document
from etude.search.rerank.listwise import ranking_of
from etude.search.rerank.reranking import Asked, Counts, Ranking, Reranker, rerank
from etude.search.rerank.windows import Window, read, slide, slide_all, spans


def exact(windows: Sequence[Window]) -> list[list[int]]:
    """Smaller numbers are better."""
    return [sorted(window.items) for window in windows]


def shuffled(count: int, seed: int = 0) -> list[int]:
    return random.Random(seed).sample(range(count), count)


@pytest.mark.parametrize("count", [5, 20, 37, 100])
def test_one_pass_is_exact_for_the_first_ten(count: int) -> None:
    for seed in range(50):
        (order,) = slide([shuffled(count, seed)], exact, window=20, stride=10)
        assert order[:10] == list(range(min(10, count)))
        assert sorted(order) == list(range(count))


def test_one_pass_is_not_exact_beyond() -> None:
    orders = [slide([shuffled(100, seed)], exact, 20, 10)[0] for seed in range(20)]
    assert any(order[:20] != list(range(20)) for order in orders)


@pytest.mark.parametrize(("count", "window", "stride"), [(100, 20, 10), (37, 20, 10), (30, 8, 5), (12, 4, 1)])
def test_several_passes_are_exact(count: int, window: int, stride: int) -> None:
    for seed in range(20):
        assert slide_all([shuffled(count, seed)], exact, window, stride) == [list(range(count))]


def test_lists_do_not_see_each_other() -> None:
    rows = [shuffled(count) for count in (100, 0, 1, 20, 37)]
    assert slide(rows, exact, 20, 10) == [slide([row], exact, 20, 10)[0] for row in rows]
    assert slide_all(rows, exact, 20, 10) == [sorted(row) for row in rows]


def test_windows_and_passages_that_are_read() -> None:
    def counted(rows: list[list[int]], slides: object) -> tuple[int, int]:
        windows: list[Window] = []

        def sort(step: Sequence[Window]) -> list[list[int]]:
            windows.extend(step)
            return exact(step)

        slides(rows, sort, 20, 10)  # type: ignore[operator]
        return len(windows), sum(len(window.items) for window in windows)

    assert counted([shuffled(100)], slide) == (9, 180) == (9, read(100, 20, 10))
    assert counted([shuffled(100)], slide_all) == (45, 900) == (45, read(100, 20, 10, complete=True))


def test_all_that_fits_one_window_is_one_window() -> None:
    assert list(spans(20, 20, 10)) == [(0, 20)]
    assert list(spans(1, 20, 10)) == list(spans(0, 20, 10)) == []
    assert slide([shuffled(20)], exact, 20, 10) == slide_all([shuffled(20)], exact, 20, 10)


class Oracle:
    """Knows that documents with smaller names are better, and can only sort windows."""

    name = "oracle"
    fingerprint = ""

    def rank(self, asked: Sequence[Asked]) -> list[Ranking]:
        def sort(windows: Sequence[Window]) -> list[list[int]]:
            return [sorted(w.items, key=lambda item: int(asked[w.row][1][item].id)) for w in windows]

        orders = slide([range(len(documents)) for _, documents in asked], sort, 20, 10)
        return [ranking_of(order, [Counts(passes=1)]) for order in orders]

    def save(self, folder: object) -> None:
        """Nothing has been learnt."""


@pytest.mark.parametrize("count", [0, 1, 5, 20, 37, 100])
def test_an_oracle_gives_the_right_run(count: int) -> None:
    documents = {str(number): Document(str(number), "text") for number in range(count)}
    run = {"q": {str(number): -float(place) for place, number in enumerate(shuffled(count))}}
    found, _ = rerank(Reranker(Oracle, Oracle()), {"q": "what"}, documents, run)
    assert [*found["q"]][:10] == [str(number) for number in range(min(10, count))]
    assert sorted(found["q"]) == sorted(run["q"])
