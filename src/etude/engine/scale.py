"""Work on Ray: workers of a local or an existing cluster that may die, each costing only what it was at."""

from __future__ import annotations

import contextlib
import logging
import os
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any, Generic, TypeVar

from etude.engine.environment import cores
from etude.engine.pool import Lost
from etude.errors import InputError

T = TypeVar("T")

_OBJECTS = 200 * 2**20
"""Bytes of a local cluster's object store: what goes through it is small."""


@dataclass(frozen=True)
class RayPool(Generic[T]):
    """Applies ``work`` to items on Ray, as `etude.engine.pool.Pool` does in processes of its own.

    Each worker is an actor on one CPU that gets ``work`` once and then one item at a time. When it dies, its
    item goes to another worker, until it has cost ``attempts`` of them; what raises an error is not tried
    again. Items are taken from their source as workers become free, so that it may be larger than memory.

    Parameters
    ----------
    work : called in the workers, once an item; must be idempotent if ``attempts`` is more than 1.
    workers : at once.
    address : of an existing cluster (``"auto"``, ``"ray://host:10001"``); "" for one on this machine that
        ends with the work. Nodes need the same Etude, and see the same files under the same names.
    attempts : workers that an item may cost.

    Raises
    ------
    InputError : naming ``on`` if Ray is not installed, or there is no cluster at the address.
    """

    work: Callable[[Any], T]
    workers: int
    address: str = ""
    attempts: int = 1

    def map(self, items: Iterable[Any]) -> Generator[tuple[int, T | Lost]]:
        """Yield each item's index and result, as they come."""
        with _connected(self.address, self.workers) as ray:
            actor = ray.remote(num_cpus=1, max_restarts=0)(_Worker)
            work = ray.put(self.work)
            source = enumerate(items)
            again: deque[_Item] = deque()
            idle: list[Any] = []
            busy: dict[Any, tuple[Any, _Item]] = {}
            try:
                while True:
                    while len(busy) < self.workers and (item := _next(again, source)) is not None:
                        worker = idle.pop() if idle else actor.remote(work)
                        busy[worker.do.remote(item.value)] = worker, item
                    if not busy:
                        return
                    (done,), _ = ray.wait([*busy], num_returns=1)
                    worker, item = busy.pop(done)
                    result, lives = _result(ray, done)
                    if lives:
                        idle.append(worker)
                    item.cost += 1
                    if lives or item.cost >= self.attempts:
                        yield item.index, result
                    else:
                        again.append(item)
            finally:
                for worker, _ in busy.values():
                    ray.kill(worker)


@dataclass(frozen=True)
class OnRay:
    """Does on Ray what can be done piece by piece, such as the segments of an index; see `RayPool`.

    Parameters
    ----------
    address : of an existing cluster, "" for one on this machine.
    workers : at once.
    attempts : workers that a piece may cost.
    """

    address: str = ""
    workers: int = 2
    attempts: int = 4

    def __call__(self, work: Callable[[Any], T], items: Iterable[Any]) -> Iterator[T]:
        """As ``map``, results in the order of the items.

        Raises
        ------
        RuntimeError : if a piece has cost all its workers, or its work failed.
        InputError : if the work raises one.
        """
        pool = RayPool(partial(_or_refused, work), self.workers, self.address, self.attempts)
        early: dict[int, T] = {}
        due = 0
        with contextlib.closing(pool.map(items)) as results:
            for index, result in results:
                if isinstance(result, InputError):
                    raise result
                if isinstance(result, Lost):
                    raise RuntimeError(result.reason)
                early[index] = result
                while due in early:
                    yield early.pop(due)
                    due += 1


def on_ray(on: str, workers: int | None = None) -> OnRay:
    """What ``--on`` means: ``ray``, or ``ray:ADDRESS`` for an existing cluster.

    Raises
    ------
    InputError : naming ``on`` for anything else, or if Ray is not installed.

    Examples
    --------
    >>> on_ray("ray:auto", workers=2)
    OnRay(address='auto', workers=2, attempts=4)
    >>> on_ray("spark")
    Traceback (most recent call last):
    etude.errors.InputError: on: 'spark' is neither ray nor ray:ADDRESS
    """
    name, _, address = on.partition(":")
    if name != "ray":
        raise InputError("on", f"{on!r} is neither ray nor ray:ADDRESS")
    if find_spec("ray") is None:
        raise InputError("on", 'ray is not installed: pip install "etude[scale]"')
    return OnRay(address, cores() if workers is None else workers)


@dataclass
class _Item:
    index: int
    value: Any
    cost: int = 0
    """Workers that died of it."""


def _next(again: deque[_Item], source: Iterator[tuple[int, Any]]) -> _Item | None:
    if again:
        return again.popleft()
    pair = next(source, None)
    return None if pair is None else _Item(*pair)


def _result(ray: Any, done: Any) -> tuple[Any, bool]:
    """What a worker gave, and whether it lives."""
    try:
        return ray.get(done), True
    except ray.exceptions.RayTaskError as error:  # it lives, but what it gave could not travel
        return Lost(str(error)), True
    except ray.exceptions.RayError as error:
        return Lost(f"the worker died on Ray: {error}"), False


class _Worker:
    """Lives in a process of Ray's."""

    def __init__(self, work: Callable[[Any], Any]) -> None:
        self.work = work

    def do(self, item: Any) -> Any:
        try:
            return self.work(item)
        except Exception:
            return Lost(traceback.format_exc())


def _or_refused(work: Callable[[Any], T], item: Any) -> T | InputError:
    """An `InputError` as a value, so that the user gets it as it is."""
    try:
        return work(item)
    except InputError as error:
        return error


@contextlib.contextmanager
def _connected(address: str, workers: int) -> Iterator[Any]:
    """Ray, connected; a connection that was there before is used, and left."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else it calls home
    import ray

    if ray.is_initialized():
        yield ray
        return
    local: dict[str, Any] = {"num_cpus": workers, "object_store_memory": _OBJECTS, "include_dashboard": False}
    where: dict[str, Any] = {"address": address} if address else {"address": "local"} | local
    try:
        ray.init(**where, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise InputError("on", f"cannot connect to Ray{f' at {address}' * bool(address)}: {error}") from error
    try:
        yield ray
    finally:
        ray.shutdown()
