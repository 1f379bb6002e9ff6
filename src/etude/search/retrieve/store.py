"""The documents of a segment, kept beside what an engine makes of them: one Arrow file, memory-mapped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from etude.errors import InputError
from etude.search.collection import Document

FILE = "documents.arrow"
FIELDS = ("id", "title", "text")
_BATCH = 1024


def kept(documents: Iterable[Document], folder: Path) -> Iterator[Document]:
    """Pass documents on, and write them into a segment's folder on the way, so that all need not fit memory.

    Raises
    ------
    InputError : naming ``corpus`` if one is no `Document`, or its identifier is not text or is empty.
    """
    import pyarrow as pa

    schema = pa.schema([(field, pa.large_string()) for field in FIELDS])
    source = iter(documents)
    with pa.OSFile(str(folder / FILE), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        while batch := [checked(document) for document in islice(source, _BATCH)]:
            columns = [[getattr(document, field) for document in batch] for field in FIELDS]
            writer.write_batch(pa.record_batch(columns, schema=schema))
            yield from batch


def checked(document: Any) -> Document:
    """The document, if it is one."""
    if not isinstance(document, Document):
        raise InputError("corpus", f"{document!r:.60} is no Document")
    if not all(isinstance(value, str) for value in (document.id, document.text, document.title)):
        raise InputError("corpus", f"{document!r:.60} holds something else than text")
    if not document.id:
        raise InputError("corpus", f"{document!r:.60} has no identifier")
    return document


class Stored:
    """The documents of several segments by their positions, read when they are asked for.

    Parameters
    ----------
    folders : of the segments; positions run on from one to the next.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        import pyarrow as pa

        tables = [pa.ipc.open_file(pa.memory_map(str(folder / FILE))).read_all() for folder in folders]
        self._table = pa.concat_tables(tables) if tables else None
        self.sizes = [len(table) for table in tables]

    def __len__(self) -> int:
        return sum(self.sizes)

    def ids(self, positions: Iterable[int] | None = None) -> list[str]:
        """The identifiers of documents at these positions; of all, if none are given."""
        if self._table is None:
            return []
        column = self._table["id"]
        found: list[str] = column.to_pylist() if positions is None else _at(column, positions)
        return found

    def documents(self, positions: Iterable[int]) -> list[Document]:
        """The documents at these positions."""
        if self._table is None:
            return []
        columns = [_at(self._table[field], positions) for field in FIELDS]
        return [Document(each, text, title) for each, title, text in zip(*columns, strict=True)]

    def positions(self, ids: Sequence[str]) -> Any:
        """All positions, ascending, of documents with these identifiers: int64 [n]."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        if self._table is None or not ids:
            return np.empty(0, np.int64)
        wanted = pa.array(ids, pa.large_string())
        return np.flatnonzero(pc.is_in(self._table["id"], value_set=wanted).to_numpy(zero_copy_only=False))


def _at(column: Any, positions: Iterable[int]) -> list[str]:
    """Values of a chunked column one by one: ``take`` would copy all of it together first."""
    return [column[int(position)].as_py() for position in positions]
