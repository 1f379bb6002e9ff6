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

import csv
import gzip
import json
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

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


def files(path: Path) -> list[Path]:
    """The file itself, or the text files in a folder and below it, by name.

    Raises
    ------
    InputError : if there are none, or a link leads out of the folder.
    """
    if not path.is_dir():
        return [path]
    root, found = path.resolve(), []
    for place, folders, names in os.walk(path):
        for name in [*folders, *names]:
            each = Path(place, name)
            if each.is_symlink() and not each.resolve().is_relative_to(root):
                raise InputError("data", f"{each} leads out of the folder; copy what it points to")
        found += [Path(place, name) for name in names if _kind(Path(name)) in _READERS and name[0] != "."]
    if not found:
        raise InputError("data", f"{path} holds no text file ({', '.join(_READERS)}, perhaps .gz)")
    return sorted(found)


def _kind(path: Path) -> str:
    return (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower()


def _reader(path: Path) -> Callable[[Path, list[str]], Iterator[str]]:
    kind = _kind(path)
    if kind not in _READERS or (kind == ".parquet" and path.suffix == ".gz"):
        raise InputError("data", f"{path} is of no known kind: give {', '.join(_READERS)}, perhaps .gz")
    return _READERS[kind]


def _txt(path: Path, fields: list[str]) -> Iterator[str]:
    _no_fields(path, fields)
    with _opened(path) as file:
        yield _decoded(file.read(), str(path)).replace("\r\n", "\n")


def _jsonl(path: Path, fields: list[str]) -> Iterator[str]:
    with _opened(path) as file:
        for number, line in enumerate(file, 1):
            if line.isspace():
                continue
            place = f"{path}, line {number}"
            try:
                row = json.loads(_decoded(line, place))
            except json.JSONDecodeError as error:
                raise InputError("data", f"{place}: not JSON: {error.msg}") from error
            except RecursionError as error:
                raise InputError("data", f"{place}: nested too deeply") from error
            if not isinstance(row, dict):
                raise InputError("data", f"{place}: not an object with the field {'+'.join(fields)!r}")
            yield _joined(row, fields, place)


def _table(delimiter: str) -> Callable[[Path, list[str]], Iterator[str]]:
    def read(path: Path, fields: list[str]) -> Iterator[str]:
        csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # documents are longer than the default
        with _opened(path) as file:
            lines = (_decoded(line, f"{path}, line {number}") for number, line in enumerate(file, 1))
            rows = csv.DictReader(lines, delimiter=delimiter, strict=True)
            try:
                for row in rows:
                    place = f"{path}, line {rows.line_num}"
                    if None in row or None in row.values():
                        raise InputError("data", f"{place}: not as many columns as in the header")
                    yield _joined(row, fields, place)
            except csv.Error as error:
                raise InputError("data", f"{path}, line {rows.line_num}: {error}") from error

    return read


def _parquet(path: Path, fields: list[str]) -> Iterator[str]:
    import pyarrow
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as table:
            _check_fields(table.schema_arrow.names, fields, str(path))
            row = 0
            for batch in table.iter_batches(batch_size=1024, columns=fields):
                for values in batch.to_pylist():
                    row += 1
                    yield _joined(values, fields, f"{path}, row {row}")
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError("data", f"{path} is not a whole Parquet file: {error}") from error


def _conll(path: Path, fields: list[str]) -> Iterator[str]:
    _no_fields(path, fields)
    with _opened(path) as file:
        rows = _decoded(file.read(), str(path)).split("\n")
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
    ".jsonl": _jsonl,
    ".parquet": _parquet,
    ".csv": _table(","),
    ".tsv": _table("\t"),
    ".conll": _conll,
}


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes, unpacked."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield file  # type: ignore[misc]
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError("data", f"{path} is not a whole gzip file: {error}") from error
    except OSError as error:
        raise InputError("data", f"{path} cannot be read: {error.strerror}") from error


def _decoded(line: bytes, place: str) -> str:
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("data", f"{place}: byte {error.start} is not UTF-8; convert the file") from error


def _joined(row: dict[str, Any], fields: list[str], place: str) -> str:
    _check_fields(list(row), fields, place)
    for field in fields:
        if not isinstance(row[field], str):
            kind = "empty" if row[field] is None else f"a {type(row[field]).__name__}"
            raise InputError("data", f"{place}: field {field!r} is {kind}, not text")
    return "\n".join(row[field] for field in fields)


def _check_fields(names: list[str], fields: list[str], place: str) -> None:
    for field in fields:
        if field not in names:
            has = ", ".join(map(repr, names)) or "nothing"
            raise InputError("data", f"{place}: no field {field!r}; it has {has} (name one: FILE:FIELD)")


def _no_fields(path: Path, fields: list[str]) -> None:
    if fields != [FIELD]:
        raise InputError("data", f"{path} has no fields, so none can be named: {'+'.join(fields)!r}")
