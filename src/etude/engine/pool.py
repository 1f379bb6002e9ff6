"""Worker processes that may die: each item goes to one worker at a time, and a death costs that item only."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from types import ModuleType
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_GRACE = 10.0
"""Seconds that an interrupted worker has to tidy up before it is killed."""

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Lost:
    """An item that came to nothing, and why: the worker's traceback, or how the worker died."""

    reason: str


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    index: int | None = None
    """Of the item under way."""

    def give(self, index: int, item: bytes) -> None:
        self.index = index
        with contextlib.suppress(OSError):
            self.pipe.send_bytes(item)

    def take(self) -> int:
        assert self.index is not None
        index, self.index = self.index, None
        return index


@dataclass
class Pool(Generic[T]):
    """Applies ``work`` to items in processes of its own.

    Workers are spawned, never forked. When iteration ends early, by Ctrl-C for instance, workers get
    `KeyboardInterrupt` and a few seconds to tidy up; they also stop by themselves if this process dies.

    Parameters
    ----------
    work : called in the workers, once an item; pickled once for each worker.
    workers : number of processes.
    threads : threads of a tensor operation in each.

    Examples
    --------
    >>> sorted(Pool(abs, workers=2).map([-1, 2]))
    [(0, 1), (1, 2)]
    """

    work: Callable[[Any], T]
    workers: int
    threads: int = 1

    def map(self, items: Sequence[Any]) -> Generator[tuple[int, T | Lost]]:
        """Yield each item's index and result, as they come."""
        work = _pickled(self.work)
        todo = deque(enumerate(map(_pickled, items)))
        with_main = any(b"__main__" in pickled for pickled in (work, *(item for _, item in todo)))
        workers: list[_Worker] = []
        try:
            while todo or any(worker.index is not None for worker in workers):
                workers = [w for w in workers if w.index is not None or w.process.is_alive()]
                idle = sum(worker.index is None for worker in workers)
                for _ in range(min(self.workers - len(workers), len(todo) - idle)):
                    workers.append(self._start(work, with_main))
                for worker in workers:
                    if worker.index is None and todo:
                        worker.give(*todo.popleft())
                for worker, result in _results(workers):
                    yield worker.take(), result
        finally:
            _stop(workers)

    def _start(self, work: bytes, with_main: bool) -> _Worker:
        context = multiprocessing.get_context("spawn")
        pipe, far = context.Pipe()
        process = context.Process(target=_serve, args=(far, self.threads))
        with (
            _environment(dict.fromkeys(_THREAD_VARIABLES, str(self.threads))),
            _uninterrupted(),
            contextlib.nullcontext() if with_main else _main_out_of_sight(),
        ):
            process.start()
        far.close()  # else the end of the worker would not end the pipe
        with contextlib.suppress(OSError):  # a worker that died at once is found when its result is due
            pipe.send_bytes(work)
        return _Worker(process, pipe)


def _results(workers: list[_Worker]) -> Iterator[tuple[_Worker, Any]]:
    """What came in; a worker that died with an item gives a `Lost`."""
    busy = {worker.pipe: worker for worker in workers if worker.index is not None}
    # The timeout is for a dead worker whose own child processes still hold the pipe open.
    ready = wait(list(busy), timeout=1.0)
    for pipe, worker in busy.items():
        if pipe in ready:
            try:
                yield worker, pipe.recv()
                continue
            except (EOFError, OSError):
                worker.process.join(_GRACE)
        if not worker.process.is_alive():
            yield worker, Lost(_obituary(worker.process.exitcode))


def _pickled(value: Any) -> bytes:
    return bytes(ForkingPickler.dumps(value))


def _obituary(code: int | None) -> str:
    if code is None or code >= 0:
        return f"the worker process ended with exit code {code}"
    name = signal.Signals(-code).name
    hint = "; the system does that when memory runs out" if name == "SIGKILL" else ""
    return f"the worker process was killed by {name}{hint}"


def _stop(workers: list[_Worker]) -> None:
    for worker in workers:
        if worker.index is not None:
            worker.process.terminate()
        worker.pipe.close()
    deadline = time.monotonic() + _GRACE
    for worker in workers:
        worker.process.join(max(0.0, deadline - time.monotonic()))
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _main_out_of_sight() -> Iterator[None]:
    """Workers started here do not import the main program.

    They would run a script that has no ``if __name__ == "__main__"`` from its top, and cannot import
    one that came from standard input.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Children started here never get SIGINT: Ctrl-C reaches the whole group, and this process answers it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # else starting a process starts it first, and that lifts the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection, threads: int) -> None:
    """The life of a worker: one piece of work, then items until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_follow_parent, daemon=True).start()
    with contextlib.suppress(EOFError, KeyboardInterrupt, BrokenPipeError):
        work = _loaded(pipe.recv_bytes())
        _set_threads(threads)
        while True:
            item = pipe.recv_bytes()
            try:
                pipe.send(work(ForkingPickler.loads(item)))
            except Exception:
                pipe.send(Lost(traceback.format_exc()))


def _loaded(pickled: bytes) -> Callable[[Any], Any]:
    """The work; if it cannot be loaded here, something that loses every item and says why."""
    try:
        work: Callable[[Any], Any] = ForkingPickler.loads(pickled)
        return work
    except Exception:
        lost = Lost(traceback.format_exc())
        return lambda _: lost


def _set_threads(threads: int) -> None:
    """Before the first operation; what the work's module imported has read the environment already."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


def _interrupt(*_: object) -> None:
    """Stop and tidy up, in silence: wherever this strikes, somebody may want to complain about it."""
    sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    raise KeyboardInterrupt


def _follow_parent() -> None:
    """Stop when the parent is gone: its pipe would tell only after the item under way."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_GRACE)
        os._exit(1)
