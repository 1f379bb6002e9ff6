"""Collections with queries and judgements: named ones, and folders in the layout of BEIR.

A folder holds ``corpus.jsonl`` (fields ``_id`` or ``id``, ``title``, ``text``), ``queries.jsonl`` (``_id`` or
``id``, ``text``) or ``queries.tsv`` (two columns), and ``qrels/test.tsv`` or ``qrels.tsv`` (query, document,
grade); all may be gzipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from etude.data import graded_documents, long_documents, reqa, xquad
from etude.data.documents import Collection, Document
from etude.data.rows import kind_of, rows
from etude.data.sets import find_folder, missing
from etude.errors import InputError, unknown

COLLECTIONS = {
    "adi": "82 abstracts of information science, 35 questions",
    "cacm": "3,204 records of Communications of the ACM 1958-1979, 52 judged questions",
    "cisi": "1,460 abstracts of library science, 76 judged questions",
    "cranfield": "1,400 abstracts of aerodynamics, 225 questions",
    "npl": "11,429 short abstracts of electronics, 93 questions",
}
"""Named collections; each lies in a folder ``ir_<name>``."""

_MADE: dict[str, Callable[[str], Collection]] = {
    name: module.load for module in (xquad, reqa, long_documents, graded_documents) for name in module.NAMES
}
"""Collections that are made from other sets, and what makes them."""

_HOME = "https://github.com/ericlabouve/Term-Proximity-Research"
_CORPUS = ("corpus.jsonl", "corpus.jsonl.gz")
_QUERIES = ("queries.jsonl", "queries.jsonl.gz", "queries.tsv", "queries.tsv.gz")
_QRELS = ("qrels/test.tsv", "qrels/test.tsv.gz", "qrels.tsv", "qrels.tsv.gz")


def load_collection(name_or_path: str | Path) -> Collection:
    """A corpus with its judged queries.

    Parameters
    ----------
    name_or_path : ``"adi"``, ``"cacm"``, ``"cisi"``, ``"cranfield"`` or ``"npl"``, one of the ``NAMES`` of
        `etude.data.xquad`, `reqa`, `long_documents` and `graded_documents`, or a folder as the module's text
        describes it. A name wins over a folder of that name: write ``./npl`` for the folder.

    Returns
    -------
    Collection : the queries are those with at least one relevant document, in the order of the file;
        judgements of other queries and of documents that are not in the corpus are left out.

    Raises
    ------
    InputError : naming ``data``, the file and the line, if there is no such collection, a row of it is
        malformed, an identifier stands twice, or no query is judged.

    Examples
    --------
    >>> import json, tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "corpus.jsonl").write_text(json.dumps({"_id": "d1", "title": "", "text": "the wing"}))
    >>> _ = (folder / "queries.tsv").write_text("query\\ttext\\nq1\\twings?\\nq2\\ttails?\\n")
    >>> _ = (folder / "qrels.tsv").write_text("query\\tdocument\\tgrade\\nq1\\td1\\t1\\n")
    >>> load_collection(folder).queries
    {'q1': 'wings?'}
    """
    name = str(name_or_path)
    if name in _MADE:
        return _MADE[name](name)
    if name in COLLECTIONS:
        folder = find_folder(f"ir_{name}")
        if folder is None:
            raise missing(f"ir_{name}", "corpus.jsonl.gz, queries.tsv, qrels.tsv", _HOME)
        return _read(folder, _state(folder))
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _read(folder, _state(folder))
    if folder.exists() or "/" in name or name.startswith((".", "~")):
        raise InputError("data", f"{name} is no folder with a corpus, queries and judgements")
    raise unknown("data", name, [*COLLECTIONS, *_MADE])


def _state(folder: Path) -> tuple[tuple[int, int], ...]:
    """What changes when a file does."""
    files = [_file(folder, names) for names in (_CORPUS, _QUERIES, _QRELS)]
    return tuple((file.stat().st_size, file.stat().st_mtime_ns) for file in files)


@lru_cache(maxsize=4)
def _read(folder: Path, state: tuple[tuple[int, int], ...]) -> Collection:
    documents = tuple(_documents(_file(folder, _CORPUS)))
    known = {document.id for document in documents}
    if len(known) < len(documents):
        raise InputError("data", f"{folder}: a document's identifier stands twice in the corpus")
    texts = _queries(_file(folder, _QUERIES))
    qrels: dict[str, dict[str, int]] = {}
    for query, document, grade in _judgements(_file(folder, _QRELS)):
        if query in texts and document in known:
            qrels.setdefault(query, {})[document] = grade
    queries = {query: text for query, text in texts.items() if max(qrels.get(query, {"": 0}).values()) > 0}
    if not queries:
        raise InputError("data", f"{folder}: no query has a relevant document in the corpus")
    return Collection(documents, queries, {query: qrels[query] for query in queries})


def _file(folder: Path, names: tuple[str, ...]) -> Path:
    found = next((folder / name for name in names if (folder / name).is_file()), None)
    if found is None:
        raise InputError("data", f"{folder} holds no {' or '.join(names)}")
    return found


def _documents(path: Path) -> Iterator[Document]:
    for place, row in rows(path):
        title = row.get("title") or ""
        yield Document(_identifier(place, row), text_in(place, row, "text"), str(title))


def _queries(path: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for place, row in rows(path):
        if kind_of(path) == ".tsv":
            row = dict(zip(("id", "text"), row.values(), strict=False))
        query = _identifier(place, row)
        if query in found:
            raise InputError("data", f"{place}: the query {query!r} is there already")
        found[query] = text_in(place, row, "text")
    return found


def _judgements(path: Path) -> Iterator[tuple[str, str, int]]:
    for place, row in rows(path):
        try:
            query, document, grade = row.values()
            yield str(query), str(document), int(grade)
        except ValueError:
            raise InputError("data", f"{place}: not a query, a document and a whole-numbered grade") from None


def _identifier(place: str, row: dict[str, Any]) -> str:
    found = row.get("_id", row.get("id"))
    if not isinstance(found, (str, int)) or str(found) == "":
        raise InputError("data", f"{place}: no identifier in the field '_id' or 'id'")
    return str(found)


def text_in(place: str, row: dict[str, Any], field: str) -> str:
    """The text of a field, or `InputError` naming the place."""
    if not isinstance(row.get(field), str):
        raise InputError("data", f"{place}: no text in the field {field!r}")
    return str(row[field])
