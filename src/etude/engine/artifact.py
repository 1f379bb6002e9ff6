"""Artifacts: a reader sees the whole or nothing, and what a killed process left behind is removed.

A folder is built under a hidden name beside its place and renamed when it is complete. While it is
being built its owner holds a file lock, which the system releases when the owner dies, even by
SIGKILL; whoever passes later and finds the lock free removes the leftovers.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

_MARK = ".etude-"


@contextlib.contextmanager
def building(target: Path) -> Iterator[Path]:
    """An empty folder to fill; becomes ``target`` when the block ends well, vanishes when it does not.

    An existing ``target`` is replaced.

    Raises
    ------
    OSError : if nothing can be written beside ``target``.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "model"
    >>> with building(target) as folder:
    ...     _ = (folder / "weights").write_text("1 2 3")
    ...     target.exists()
    False
    >>> [path.name for path in target.iterdir()], [path.name for path in target.parent.iterdir()]
    (['weights'], ['model'])
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with _hidden_name(target) as folder:
        folder.mkdir()
        try:
            yield folder
            _move(folder, target)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def discard(target: Path) -> None:
    """Remove a folder, hiding it first so that no half of it is ever seen in its place."""
    if not target.exists():
        return
    with contextlib.suppress(FileNotFoundError), _hidden_name(target) as hidden:
        os.rename(target, hidden)
        shutil.rmtree(hidden)


def sweep(parent: Path) -> None:
    """Remove from ``parent`` what processes left half-written when they were killed."""
    for lock in parent.glob(f".*{_MARK}*.lock"):
        with contextlib.suppress(Timeout), FileLock(lock, timeout=0):
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
            _unlink(lock)


@contextlib.contextmanager
def _hidden_name(target: Path) -> Iterator[Path]:
    """A free name beside ``target`` that is ours while its lock is held; the lock comes before the folder."""
    sweep(target.parent)
    hidden = target.with_name(f".{target.name}{_MARK}{secrets.token_hex(4)}")
    lock = hidden.with_name(hidden.name + ".lock")
    lock.touch()  # an error now where nothing can be written: some file systems let a lock try for ever
    with FileLock(lock):
        try:
            yield hidden
        finally:
            _unlink(lock)


def _unlink(lock: Path) -> None:
    with contextlib.suppress(OSError):  # some systems do not unlink an open file; there the lock itself does
        lock.unlink()


def _move(folder: Path, target: Path) -> None:
    """Rename; where another process does the same run at the same time, the last one's artifact stays."""
    while True:
        discard(target)
        try:
            os.rename(folder, target)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
