"""Rows of files that hold one record a line: JSON lines, CSV, TSV and Parquet, read one at a time."""

from __future__ import annotations

import csv
import gzip
import json
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from etude.errors import InputError

Row = tuple[str, dict[str, Any]]
"""Where a row stands (file and line), and its fields."""


def rows(path: Path, columns: Sequence[str] | None = None) -> Iterator[Row]:
    """The rows of a ``.jsonl``, ``.csv``, ``.tsv`` (perhaps gzipped) or ``.parquet`` file, with their places.

    Parameters
    ----------
    path : the file; its ending tells its kind.
    columns : those that are needed, so that Parquet reads no others; None for all.

    Raises
    ------
    InputError : if the file is damaged or a row malformed; the message names file and line.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "two.jsonl"
    >>> _ = path.write_text('{"text": "One."}' + chr(10) + '{"text": "Two."}')
    >>> [row["text"] for place, row in rows(path)]
    ['One.', 'Two.']
    """
    kind = kind_of(path)
    if kind == ".jsonl":
        return _json(path, columns)
    if kind == ".parquet":
        return _parquet(path, columns)
    return _table(path, "\t" if kind in (".tsv", ".inter") else ",")


def kind_of(path: Path) -> str:
    """A file's ending in lower case, that of the packed file if it is gzipped.

    Examples
    --------
    >>> kind_of(Path("a.JSONL.gz"))
    '.jsonl'
    """
    return (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower()


def _json(path: Path, columns: Sequence[str] | None) -> Iterator[Row]:
    for place, line in lines(path):
        if not line or line.isspace():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError("data", f"{place}: not JSON: {error.msg}") from error
        except RecursionError as error:
            raise InputError("data", f"{place}: nested too deeply") from error
        if not isinstance(row, dict):
            wanted = f"the field {'+'.join(columns)!r}" if columns else "fields"
            raise InputError("data", f"{place}: not an object with {wanted}")
        yield place, row


def _table(path: Path, delimiter: str) -> Iterator[Row]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # documents are longer than the default
    table = csv.DictReader((line for _, line in lines(path)), delimiter=delimiter, strict=True)
    try:
        for row in table:
            place = f"{path}, line {table.line_num}"
            if None in row or None in row.values():
                raise InputError("data", f"{place}: not as many columns as in the header")
            yield place, row
    except csv.Error as error:
        raise InputError("data", f"{path}, line {table.line_num}: {error}") from error


def _parquet(path: Path, columns: Sequence[str] | None) -> Iterator[Row]:
    import pyarrow
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as table:
            check_fields(table.schema_arrow.names, columns or (), str(path))
            number = 0
            for batch in table.iter_batches(batch_size=1024, columns=columns):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}, row {number}", row
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError("data", f"{path} is not a whole Parquet file: {error}") from error


def lines(path: Path) -> Iterator[tuple[str, str]]:
    """The lines of a text file, perhaps gzipped, with their places."""
    with opened(path) as file:
        for number, line in enumerate(file, 1):
            place = f"{path}, line {number}"
            yield place, decoded(line, place)


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes, unpacked."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield file  # type: ignore[misc]
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError("data", f"{path} is not a whole gzip file: {error}") from error
    except OSError as error:
        raise InputError("data", f"{path} cannot be read: {error.strerror}") from error


def decoded(line: bytes, place: str) -> str:
    """UTF-8 text, without a mark at its beginning."""
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("data", f"{place}: byte {error.start} is not UTF-8; convert the file") from error


def check_fields(names: Sequence[str], fields: Sequence[str], place: str) -> None:
    """Raise `InputError` if a field is not among the names."""
    for field in fields:
        if field not in names:
            has = ", ".join(map(repr, names)) or "nothing"
            raise InputError("data", f"{place}: no field {field!r}; it has {has} (name one: FILE:FIELD)")
