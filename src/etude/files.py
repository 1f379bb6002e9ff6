"""Where Etude keeps files, and how it writes them: whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from etude.errors import InputError


def cache_folder(*parts: str) -> Path:
    """A folder for what can be made again; it may not exist yet: `new_folder` and `new_file` make it.

    Inside ``$ETUDE_CACHE``, else inside ``$ETUDE_HOME/cache``, else in the user's cache directory.
    """
    import platformdirs

    cache, home = os.environ.get("ETUDE_CACHE"), os.environ.get("ETUDE_HOME")
    root = Path(cache) if cache else Path(home, "cache") if home else platformdirs.user_cache_path("etude")
    return root.joinpath(*parts)


@contextmanager
def new_folder(target: Path, field: str = "folder") -> Iterator[Path]:
    """A temporary sibling that takes the place of ``target`` when the block ends without an error.

    Parameters
    ----------
    target : a folder that does not exist yet, or is empty.
    field : what the user calls it, for the error.

    Raises
    ------
    InputError : if ``target`` is a file or holds something, or cannot be made.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "model"
    >>> with new_folder(target) as folder:
    ...     _ = (folder / "config.json").write_text("{}")
    >>> [path.name for path in target.iterdir()]
    ['config.json']
    """
    _check_free(target, field)
    temporary = _temporary(target)
    try:
        temporary.mkdir(parents=True)
    except OSError as error:
        raise InputError(field, f"cannot make {target}: {error.strerror}") from error
    try:
        yield temporary
        os.replace(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """A path beside ``target`` to write to; it takes the place of ``target`` when the block ends well."""
    temporary = _temporary(target)
    temporary.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _temporary(target: Path) -> Path:
    return target.parent / f".{target.name}.{uuid4().hex[:8]}.partial"


def _check_free(target: Path, field: str) -> None:
    if target.is_dir() and not any(target.iterdir()):
        return
    if target.exists() or target.is_symlink():
        raise InputError(field, f"{target} is there already and not empty; name a new or an empty folder")
