"""Read documents of plain text from files of the usual formats, one at a time.

======================  =====================================================================
``.txt``                one document
``.jsonl``              one document a line, in the field ``text``, or in one that is named
``.parquet``            one document a row, in the column ``text``, or in one that is named
``.csv``, ``.tsv``      the same, with a header line
``.conll``              one document: the words of the first column, joined to sentences
a folder                all files of these kinds in it and below, in order of their names
======================  =====================================================================

All but Parquet may be gzipped (``.txt.gz``). Another field is named behind a colon:
``reviews.jsonl:body``; several are joined by line ends: ``papers.jsonl:title+abstract``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from etude.data.rows import check_fields, decoded, kind_of, opened, rows
from etude.errors import InputError

FIELD = "text"


def read_documents(path: str | Path) -> list[str]:
    """All documents of a file or folder; see `documents`.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "two.jsonl"
    >>> _ = path.write_text('{"text": "One."}' + chr(10) + '{"text": "Two."}')
    >>> read_documents(path)
    ['One.', 'Two.']
    """
    return list(documents(path))


def documents(path: str | Path) -> Iterator[str]:
    """The documents of a file or folder, read one at a time; documents without any letter are left out.

    Parameters
    ----------
    path : a file or folder as the module's text lists them, perhaps with ``:field`` behind it.

    Raises
    ------
    InputError : if there is no such file, it is of another kind, holds no text, or a line of it is
        malformed or lacks the field; the message names file, line and field. Links that lead out of
        a folder are refused.
    """
    file, fields = locate(path)
    found = False
    for each in files(file):
        for document in _reader(each)(each, fields):
            if not document.isspace() and document:
                found = True
                yield document
    if not found:
        raise InputError("data", f"{file} holds no text")


def locate(path: str | Path) -> tuple[Path, list[str]]:
    """The file or folder, and the fields, that a path with perhaps ``:field`` behind it means."""
    found = exists(path)
    if found is None:
        raise InputError("data", f"there is no file or folder {path}")
    return found


def exists(path: str | Path) -> tuple[Path, list[str]] | None:
    """What `locate` gives, or None if it is not there."""
    file = Path(path).expanduser()
    if file.exists():
        return file, [FIELD]
    named = re.fullmatch(r"(.+):([^:,/\\]+)", str(file))
    return (Path(named[1]), named[2].split("+")) if named and Path(named[1]).exists() else None


def files(path: Path, kinds: Collection[str] | None = None) -> list[Path]:
    """The file itself, or the text files (or those of other ``kinds``) in a folder and below it, by name.

    Raises
    ------
    InputError : if there are none, or a link leads out of the folder.
    """
    if not path.is_dir():
        return [path]
    root, found, kinds = path.resolve(), list[Path](), kinds or _READERS.keys()
    for place, folders, names in os.walk(path):
        for name in [*folders, *names]:
            each = Path(place, name)
            if each.is_symlink() and not each.resolve().is_relative_to(root):
                raise InputError("data", f"{each} leads out of the folder; copy what it points to")
        found += [Path(place, name) for name in names if kind_of(Path(name)) in kinds and name[0] != "."]
    if not found:
        raise InputError("data", f"{path} holds no text file ({', '.join(sorted(kinds))}, perhaps .gz)")
    return sorted(found)


def _reader(path: Path) -> Callable[[Path, list[str]], Iterator[str]]:
    kind = kind_of(path)
    if kind not in _READERS or (kind == ".parquet" and path.suffix == ".gz"):
        raise InputError("data", f"{path} is of no known kind: give {', '.join(_READERS)}, perhaps .gz")
    return _READERS[kind]


def _txt(path: Path, fields: list[str]) -> Iterator[str]:
    _no_fields(path, fields)
    with opened(path) as file:
        yield decoded(file.read(), str(path)).replace("\r\n", "\n")


def _rows(path: Path, fields: list[str]) -> Iterator[str]:
    for place, row in rows(path, fields):
        yield _joined(row, fields, place)


def _conll(path: Path, fields: list[str]) -> Iterator[str]:
    _no_fields(path, fields)
    with opened(path) as file:
        rows = decoded(file.read(), str(path)).split("\n")
    words = [row.split("\t")[0].strip() for row in rows]
    sentences = " ".join(words).replace("-DOCSTART-", "").split("  ")
    yield " ".join(untokenised(sentence) for sentence in sentences if sentence.strip())


def untokenised(sentence: str) -> str:
    """Put words that were split at every mark back together, as far as the marks tell.

    Examples
    --------
    >>> untokenised("Selegiline - induced hypotension ( 0 . 5 mg ) in Parkinson ' s disease .")
    "Selegiline-induced hypotension (0.5 mg) in Parkinson's disease."
    """
    sentence = re.sub(r"(?<=\d) ([.,]) (?=\d)", r"\1", sentence)
    sentence = re.sub(r" ([-/']) (?=\S)", r"\1", sentence)
    return re.sub(r"([(\[{]) ", r"\1", re.sub(r" (?=[.,;:!?%)\]}])", "", sentence)).strip()


_READERS: dict[str, Callable[[Path, list[str]], Iterator[str]]] = {
    ".txt": _txt,
    ".jsonl": _rows,
    ".parquet": _rows,
    ".csv": _rows,
    ".tsv": _rows,
    ".conll": _conll,
}


def _joined(row: Mapping[str, Any], fields: list[str], place: str) -> str:
    check_fields(list(row), fields, place)
    for field in fields:
        if not isinstance(row[field], str):
            kind = "empty" if row[field] is None else f"a {type(row[field]).__name__}"
            raise InputError("data", f"{place}: field {field!r} is {kind}, not text")
    return "\n".join(row[field] for field in fields)


def _no_fields(path: Path, fields: list[str]) -> None:
    if fields != [FIELD]:
        raise InputError("data", f"{path} has no fields, so none can be named: {'+'.join(fields)!r}")
