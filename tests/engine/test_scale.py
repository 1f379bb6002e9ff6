"""Work on Ray: what a death costs, and that nothing is lost or done twice."""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.engine.watch import Log

import etude
from etude.engine.pool import Lost
from etude.engine.scale import OnRay, RayPool, on_ray
from etude.engine.store import Store
from etude.errors import InputError

ray = pytest.importorskip("ray")


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """One cluster for all tests: starting one takes seconds."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=200 * 2**20,
        log_to_driver=False,
    )
    yield
    ray.shutdown()


def fatal(item: tuple[Path, int]) -> int:
    """Doubles a number; the first to be given 3 dies half-way."""
    folder, number = item
    with (folder / f"{number}.log").open("a") as log:
        log.write("begun\n")
    if number == 3 and not (folder / "died").exists():
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.01)
    return 2 * number


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_a_death_costs_its_item_only_and_others_nothing(tmp_path: Path) -> None:
    items = [(tmp_path, number) for number in range(8)]
    once = dict(RayPool(fatal, workers=2).map(items))
    lost = once.pop(3)
    assert isinstance(lost, Lost)
    assert lost.reason.startswith("the worker died on Ray")
    assert once == {number: 2 * number for number in range(8) if number != 3}
    assert all((tmp_path / f"{number}.log").read_text() == "begun\n" for number in range(8))


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_what_a_dead_worker_was_at_goes_to_another(tmp_path: Path) -> None:
    items = [(tmp_path, number) for number in range(8)]
    assert list(OnRay(workers=2)(fatal, items)) == [2 * number for number in range(8)]
    begun = {number: (tmp_path / f"{number}.log").read_text().count("begun") for number in range(8)}
    assert begun == {number: 1 + (number == 3) for number in range(8)}


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_what_kills_every_worker_is_given_up() -> None:
    with pytest.raises(RuntimeError, match="the worker died on Ray"):
        list(OnRay(workers=1, attempts=2)(os._exit, [3]))


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_errors_come_back_and_are_not_tried_again() -> None:
    found = dict(RayPool(math.sqrt, workers=1, attempts=3).map([4.0, -1.0]))
    assert found[0] == 2.0
    assert "ValueError" in found[1].reason

    def refuse(item: int) -> int:
        raise InputError("corpus", f"{item} is no document")

    with pytest.raises(InputError, match="corpus: 1 is no document"):
        list(OnRay(workers=1)(refuse, [1]))


@pytest.mark.usefixtures("cluster")
def test_items_are_taken_as_workers_become_free() -> None:
    taken = []

    def source() -> Iterator[int]:
        for number in range(6):
            taken.append(number)
            yield number

    results = RayPool(abs, workers=2).map(source())
    first = next(results)
    assert len(taken) == 2
    assert sorted([first, *results]) == [(number, number) for number in range(6)]


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_compares_on_ray_as_without(tmp_path: Path, log: Log) -> None:
    given: dict[str, Any] = {"seeds": 2, "keep": "none"}
    here = etude.compare(["toy-mean"], store=Store(tmp_path / "a.db"), jobs=1, **given)
    there = etude.compare(["toy-mean"], store=Store(tmp_path / "b.db"), jobs=2, on="ray", **given)
    assert [(r.key, r.seed) for r in here.records] == [(r.key, r.seed) for r in there.records]
    metrics = [metric.name for metric in here.task.metrics]
    for mine, theirs in zip(here.records, there.records, strict=True):
        assert [mine.metrics.get(m) for m in metrics] == [theirs.metrics.get(m) for m in metrics]


@pytest.mark.parametrize("on", ["spark", "rays", ""])
def test_where_else_is_not_known(on: str) -> None:
    with pytest.raises(InputError, match="on: "):
        on_ray(on)
