"""The documents of a segment, kept beside what an engine makes of them: one Arrow file, memory-mapped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from etude.errors import InputError
from etude.search.collection import Document

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Positions = NDArray[np.int64]

TEXTS, IDS = "documents.arrow", "ids.arrow"
_BATCH = 1024


def kept(documents: Iterable[Document], folder: Path) -> Iterator[Document]:
    """Pass documents on, and write them into a segment's folder on the way, so that all need not fit memory.

    Raises
    ------
    InputError : naming ``corpus`` if one is no `Document`, or its identifier is not text or is empty.
    """
    import pyarrow as pa

    schema = pa.schema([("title", pa.large_string()), ("text", pa.large_string())])
    source, ids = iter(documents), list[str]()
    with pa.OSFile(str(folder / TEXTS), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        while batch := [checked(document) for document in islice(source, _BATCH)]:
            columns = [[each.title for each in batch], [each.text for each in batch]]
            writer.write_batch(pa.record_batch(columns, schema=schema))
            ids += [each.id for each in batch]
            yield from batch
    table = pa.table({"id": pa.array(ids, pa.large_string())})
    with pa.OSFile(str(folder / IDS), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


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
        import numpy as np

        self._ids = [_mapped(folder / IDS)["id"].chunk(0) for folder in folders]
        self._texts = [_mapped(folder / TEXTS) for folder in folders]
        self._starts = np.cumsum([0, *map(len, self._ids)])
        self._size = int(self._starts[-1])

    def __len__(self) -> int:
        return self._size

    @cached_property
    def _known(self) -> NDArray[np.object_]:
        """Identifiers that were asked for before, by position; None for the others, and last "", for -1."""
        import numpy as np

        known = np.full(self._size + 1, None)
        known[-1] = ""
        return known

    def ids(self, positions: Positions | None = None) -> list[str]:
        """The identifiers of documents at these positions [n]; of all, if none are given."""
        if positions is None:
            return [each for column in self._ids for each in column.to_pylist()]
        (found,) = self.named(positions[None])
        return found

    def named(self, positions: Positions) -> list[list[str]]:
        """The identifiers of documents at these positions [queries, k], row by row; "" for -1."""
        found: list[list[str]] = self._known[positions].tolist()
        if not all(map(all, found)):  # some were never asked for, or are -1
            missing = positions[self._known[positions] == None]  # noqa: E711
            if len(missing):
                self._known[missing] = self._read(missing)
                found = self._known[positions].tolist()
        return found

    def _read(self, positions: Positions) -> NDArray[np.object_]:
        import numpy as np
        import pyarrow as pa

        places = np.empty(len(positions), object)
        owners = np.searchsorted(self._starts, positions, side="right") - 1
        for owner in np.unique(owners):
            rows = positions[owners == owner] - self._starts[owner]
            places[owners == owner] = self._ids[owner].take(pa.array(rows)).to_pylist()
        return places

    def documents(self, positions: Positions) -> list[Document]:
        """The documents at these positions."""
        import numpy as np

        owners = np.searchsorted(self._starts, positions, side="right") - 1
        places = zip(owners.tolist(), (positions - self._starts[owners]).tolist(), strict=True)
        texts = [(self._texts[owner], row) for owner, row in places]
        return [
            Document(each, table["text"][row].as_py(), table["title"][row].as_py())
            for each, (table, row) in zip(self.ids(positions), texts, strict=True)
        ]

    def positions(self, ids: Sequence[str]) -> Positions:
        """All positions, ascending, of documents with these identifiers."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        wanted = pa.array(ids, pa.large_string())
        found = [
            np.flatnonzero(pc.is_in(column, value_set=wanted).to_numpy(zero_copy_only=False)) + start
            for column, start in zip(self._ids, self._starts, strict=False)
        ]
        return np.concatenate([np.empty(0, np.int64), *found])


def _mapped(path: Path) -> Any:
    import pyarrow as pa

    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
