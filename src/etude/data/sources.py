"""From a name or a path to documents: which files, and which part of them is held out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from etude.data import text
from etude.data.division import check_disjoint_texts, divide
from etude.data.sets import SETS, find_set
from etude.errors import InputError, unknown

Split = Literal["calibration", "evaluation"]
Documents = tuple[str, ...]

_CALIBRATION_NAMES = {"train", "calibration"}
_EVALUATION_NAMES = {"valid", "validation", "dev", "test", "evaluation"}


@dataclass(frozen=True)
class Source:
    """Where the documents of a text lie.

    Attributes
    ----------
    name : what the user calls it.
    calibration : paths of files or folders, perhaps with fields.
    evaluation : the same for the held-out part; empty if ``calibration`` is to be divided.
    checked : whether the two parts are known to share nothing.
    """

    name: str
    calibration: tuple[str, ...]
    evaluation: tuple[str, ...] = ()
    checked: bool = False

    @property
    def files(self) -> tuple[str, ...]:
        return (*self.calibration, *self.evaluation)


def load(name_or_path: str | Path, split: Split) -> list[str]:
    """The documents of one part of a text.

    Parameters
    ----------
    name_or_path : a named set (`etude.data.SETS`: built in, or else in ``$ETUDE_DATA`` or the user's
        cache); a file or folder as `etude.data.text` lists them; or two of these joined by a comma,
        the first to calibrate on and the second to evaluate on, whole. A named set wins over a
        folder of that name: write ``./novels`` for the folder.
    split : ``"calibration"`` or ``"evaluation"``. A folder with files named train (or calibration)
        and test (or valid, dev, evaluation) is divided by them. Other text is divided the same way
        each time: see `etude.data.division.divide`. All of it is held in memory.

    Raises
    ------
    InputError : if there is no such text, a file is malformed, or what was given for calibration and
        for evaluation overlaps.

    Examples
    --------
    >>> len(load("novels", "calibration")), len(load("novels", "evaluation"))
    (39, 8)
    """
    if split not in ("calibration", "evaluation"):
        raise unknown("split", split, ["calibration", "evaluation"])
    return list(parts(name_or_path)[split == "evaluation"])


def fingerprint(name_or_path: str | Path) -> str:
    """SHA-256 over all documents of a text, as they are divided: equal content, equal fingerprint.

    Examples
    --------
    >>> len(fingerprint("novels"))
    64
    """
    return hashlib.sha256(" ".join(map(digest, parts(name_or_path))).encode()).hexdigest()


def digest(documents: Documents) -> str:
    """SHA-256 over documents and their bounds."""
    total = hashlib.sha256()
    for document in documents:
        content = document.encode()
        total.update(len(content).to_bytes(8, "big"))
        total.update(content)
    return total.hexdigest()


def check_disjoint(calibration: str | Path, evaluation: str | Path) -> None:
    """Raise `InputError` if what one text calibrates on overlaps with what another evaluates on."""
    pair = parts(calibration)[0], parts(evaluation)[1]
    check_disjoint_texts(*pair, names=(str(calibration), str(evaluation)))


def parts(name_or_path: str | Path) -> tuple[Documents, Documents]:
    """The documents to calibrate on and those to evaluate on, read once while the files stay as they are."""
    source = resolve(str(name_or_path))
    return _read(source, _state(source))


def resolve(name: str) -> Source:
    """The files that a name or path means; see `load`."""
    if name in SETS:
        folder, known = find_set(name), SETS[name]
        calibration, evaluation = (
            tuple(f"{folder}/{file}" for file in files) for files in (known.calibration, known.evaluation)
        )
        return Source(name, calibration, evaluation, checked=True)
    if text.exists(name):
        return _of_path(name, name)
    if name.count(",") == 1:
        first, second = (resolve(each.strip()) for each in name.split(","))
        return Source(name, first.files, second.files)
    if "/" in name or name.startswith((".", "~")) or Path(name).suffix:
        raise InputError("data", f"there is no file or folder {name}")
    found = find_set(name)
    if found is None:
        raise unknown("data", name, SETS)
    return _of_path(name, str(found))


def _of_path(name: str, path: str) -> Source:
    """A file or a folder, whose parts are told by file names such as ``train.txt`` and ``test.txt``."""
    folder = Path(path).expanduser()
    if folder.is_dir():
        stems = {str(entry): entry.name.split(".")[0].lower() for entry in sorted(folder.iterdir())}
        calibration = tuple(entry for entry, stem in stems.items() if stem in _CALIBRATION_NAMES)
        evaluation = tuple(entry for entry, stem in stems.items() if stem in _EVALUATION_NAMES)
        if calibration and evaluation:
            return Source(name, calibration, evaluation)
    return Source(name, (path,))


def _state(source: Source) -> tuple[tuple[str, int, int], ...]:
    """What changes when a file does."""
    files = [file for path in source.files for file in text.files(text.locate(path)[0])]
    return tuple((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files)


@lru_cache(maxsize=4)
def _read(source: Source, state: tuple[tuple[str, int, int], ...]) -> tuple[Documents, Documents]:
    calibration, evaluation = (
        tuple(document for path in paths for document in text.documents(path))
        for paths in (source.calibration, source.evaluation)
    )
    if not source.evaluation:
        calibration, evaluation = map(tuple, divide(calibration))
        if not calibration or not evaluation:
            raise InputError("data", f"{source.name} is too short to hold out a part for evaluation")
    elif not source.checked:
        check_disjoint_texts(calibration, evaluation, (source.name, source.name))
    return calibration, evaluation
