"""What identifies a model's content, wherever it lies: a digest of its configuration and weights."""

from __future__ import annotations

import hashlib
import time
from contextlib import suppress
from pathlib import Path

from etude.files import cache_folder, new_file
from etude.models import checkpoint

_LARGE = 1_000_000
_SETTLED = 2.0
"""Seconds after which a file's time of change is trusted to tell whether it has changed again."""


def fingerprint(name_or_path: str | Path) -> str:
    """SHA-256 over a model's configuration, weights and tokenizer: equal content, equal fingerprint.

    The same for a name, for its folder and for a copy of it elsewhere. Nothing is loaded.

    Parameters
    ----------
    name_or_path : as for `etude.models.load`.

    Returns
    -------
    str : 64 hexadecimal digits.

    Raises
    ------
    InputError : if there is no such model, or its files are missing or damaged.

    Examples
    --------
    >>> len(fingerprint("nano-llama"))
    64
    """
    from etude.models.inputs import RANGES, SCHEMES
    from etude.models.loading import locate

    path = locate(name_or_path)
    if path.is_file():
        return file_digest(path)
    checkpoint.read_config(path)
    files = [path / checkpoint.CONFIG, *checkpoint.weight_files(path), *checkpoint.tokenizer_files(path)]
    files += [path / name for name in (checkpoint.WIDTHS, SCHEMES, RANGES) if (path / name).is_file()]
    total = hashlib.sha256()
    for file in files:
        total.update(f"{file.name} {file_digest(file)}\n".encode())
    return total.hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file; of a large one it is remembered in the cache by path, size and time of change."""
    path = path.resolve()
    state = path.stat()
    key = f"{path}|{state.st_ino}|{state.st_size}|{state.st_mtime_ns}"
    memo = cache_folder("digests", hashlib.sha256(key.encode()).hexdigest())
    if memo.is_file():
        return memo.read_text()
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if state.st_size > _LARGE and time.time() - state.st_mtime > _SETTLED:
        with suppress(OSError), new_file(memo) as temporary:  # without a cache it is only slower
            temporary.write_text(digest)
    return digest
