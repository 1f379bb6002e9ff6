"""The files of an index: a manifest that says which of them count, written last and in one step."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from etude.errors import InputError
from etude.files import new_file

VERSION = 1
MANIFEST = "index.json"
LOCK = "index.lock"


@dataclass(frozen=True)
class Manifest:
    """What an index consists of."""

    method: str
    parameters: Mapping[str, Any]
    fingerprint: str
    engine: str
    segments: tuple[str, ...] = ()
    deleted: str = ""
    version: int = VERSION


def read_manifest(folder: Path) -> Manifest:
    """What an index consists of.

    Raises
    ------
    InputError : naming ``index``.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise InputError("index", f"{folder} holds no index ({MANIFEST})")
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if facts["version"] != VERSION:
            raise InputError(
                "index", f"{path} is of version {facts['version']}, not {VERSION}; build it anew"
            )
        manifest = Manifest(**facts | {"segments": tuple(facts["segments"])})
    except (OSError, UnicodeDecodeError, ValueError, TypeError, KeyError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError("index", f"{path} is damaged: {error}") from error
    for name in (manifest.engine, manifest.deleted, *manifest.segments):
        if not isinstance(name, str) or name != Path(name).name or not (folder / name).exists():
            raise InputError("index", f"{folder} lacks {name!r}, which its {MANIFEST} names")
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Put a new manifest in the place of the old one."""
    with new_file(folder / MANIFEST) as path:
        path.write_text(json.dumps(asdict(manifest), indent=1) + "\n", encoding="utf-8")


def clean(folder: Path, manifest: Manifest) -> None:
    """Remove what the manifest does not name: replaced, or left by a process that was killed."""
    named = {manifest.engine, *manifest.segments, manifest.deleted}
    for entry in folder.iterdir():
        if entry.name.startswith(("segment-", "deleted-", "engine-", ".")) and entry.name not in named:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def files(folder: Path) -> list[Path]:
    """All files in a folder and below it; a file itself."""
    return [folder] if folder.is_file() else [path for path in folder.rglob("*") if path.is_file()]


def copy(folder: Path, target: Path) -> None:
    """Put the files of an index into another folder; within one file system, both share them."""
    for file in files(folder):
        if file.name != LOCK:
            place = target / file.relative_to(folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            _link(file, place)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)
