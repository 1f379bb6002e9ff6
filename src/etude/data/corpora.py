"""Corpora to be searched, read from files of the usual formats as a stream, as often as is needed.

==============================  ======================================================================
``.txt``, ``.md``               one document; a Markdown file's first heading is its title
``.html``                       one document: what is seen of the page, and its title (needs beautifulsoup4)
``.pdf``                        one document a page that holds text (needs pypdf)
``.jsonl``                      one document a line: ``_id`` or ``id``, ``title``, ``text`` or ``contents``
``.parquet``, ``.csv``          one document a row, the same columns; ``.tsv`` too, with a header line
``.trec``, ``.sgml``            TREC's ``<DOC>`` with ``<DOCNO>``, a title, and text
``.json``                       the contexts of questions, as Rankify distributes them
a folder                        all files of these kinds but ``.json`` in it and below; of a collection in the
                                layout of BEIR its ``corpus.jsonl`` alone
==============================  ======================================================================

Text formats may be gzipped. A document without an identifier of its own is called by its file and its row or
page. Other fields are named behind a colon, joined by plus signs: ``papers.jsonl:title+abstract``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from etude.data import text
from etude.data.collections import COLLECTIONS, load_collection
from etude.data.contexts import read_contexts
from etude.data.documents import Corpus, Document
from etude.data.rows import decoded, kind_of, lines, opened, rows
from etude.errors import InputError

_IDS = ("_id", "id", "docid", "doc_id")
_TEXTS = ("text", "contents")
_BEIR = ("corpus.jsonl", "corpus.jsonl.gz")
_TITLE_TAGS = "TITLE|HEADLINE|HL|TI"


def read_corpus(source: str | Path) -> Corpus:
    """The documents of a file, a folder or a named collection.

    Parameters
    ----------
    source : as the module's text lists them, or the name of a collection such as "cranfield".

    Returns
    -------
    Corpus : read anew each time that it is gone through, one document at a time.

    Raises
    ------
    InputError : naming ``data``: at once, if there is no such file or it is of no known kind; while it is
        gone through, with file and line, if it is malformed. Links that lead out of a folder are refused.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "wings.md").write_text("# Of wings\\n\\nA wing lifts.")
    >>> list(read_corpus(folder))
    [Document(id='wings.md', text='A wing lifts.', title='Of wings')]
    """
    if str(source) in COLLECTIONS:
        return load_collection(source).documents
    path, fields = text.locate(source)
    whole = next((path / name for name in _BEIR if (path / name).is_file()), path)
    found = text.files(whole, READERS.keys() - {".json"})  # which may hold anything
    for file in found:
        if kind_of(file) not in READERS:
            raise InputError("data", f"{file} is of no known kind: give {', '.join(READERS)}, perhaps .gz")
    return Files(whole if whole.is_dir() else whole.parent, found, [] if fields == [text.FIELD] else fields)


class Files:
    """Documents of files.

    Parameters
    ----------
    root : the folder that identifiers made of file names begin in.
    files : in the order in which they are read.
    fields : of rows, that are the text; none for the usual ones.
    """

    def __init__(self, root: Path, files: Sequence[Path], fields: Sequence[str] = ()) -> None:
        self._root = root
        self._files = files
        self._fields = fields

    def __iter__(self) -> Iterator[Document]:
        for file in self._files:
            kind, name = kind_of(file), file.relative_to(self._root).as_posix()
            if self._fields and READERS[kind] is not _rows:
                raise InputError("data", f"{file} has no fields, so none can be named")
            yield from _rows(file, name, self._fields) if self._fields else READERS[kind](file, name)


def _plain(path: Path, name: str) -> Iterator[Document]:
    """The file's text; a file without any is no document."""
    with opened(path) as file:
        if words := decoded(file.read(), str(path)).replace("\r\n", "\n").strip():
            yield Document(name, words)


def _markdown(path: Path, name: str) -> Iterator[Document]:
    for document in _plain(path, name):
        heading = re.match(r"#{1,6}\s+(.+?)\s*#*\s*(?:\n|$)", document.text)
        body = document.text[heading.end() :].strip() if heading else document.text
        yield Document(name, body, heading[1] if heading else "")


def _html(path: Path, name: str) -> Iterator[Document]:
    soup = _package("bs4", "beautifulsoup4").BeautifulSoup(_bytes(path), "html.parser")
    title = soup.title.get_text(" ", strip=True) if soup.title else ""
    for unseen in soup(["script", "style", "template", "noscript", "title"]):
        unseen.decompose()
    words = soup.get_text(" ", strip=True)
    if words or title:
        yield Document(name, words, title)


def _pdf(path: Path, name: str) -> Iterator[Document]:
    pypdf = _package("pypdf", "pypdf")
    try:
        reader = pypdf.PdfReader(path, strict=False)
        title = str((reader.metadata or {}).get("/Title") or "")
        for number, page in enumerate(reader.pages, 1):
            if words := " ".join(page.extract_text().split()):
                yield Document(f"{name}#page={number}", words, title)
    except (pypdf.errors.PyPdfError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError("data", f"{path} cannot be read as a PDF: {error}") from error


def _rows(path: Path, name: str, fields: Sequence[str] = ()) -> Iterator[Document]:
    for number, (place, row) in enumerate(rows(path), 1):
        identifier = next((row[key] for key in _IDS if row.get(key) not in (None, "")), f"{name}:{number}")
        if not isinstance(identifier, (str, int)):
            raise InputError("data", f"{place}: the identifier {identifier!r} is neither text nor a number")
        key = next((key for key in _TEXTS if key in row), text.FIELD)
        words = "\n".join(_text_of(row, field, place) for field in fields or (key,))
        title = row.get("title")
        yield Document(str(identifier), words, title if isinstance(title, str) and not fields else "")


def _text_of(row: dict[str, Any], field: str, place: str) -> str:
    value = row.get(field)
    if not isinstance(value, str):
        raise InputError(
            "data",
            f"{place}: no text in the field {field!r}; it has {', '.join(map(repr, row))} (FILE:FIELD)",
        )
    return value


def _trec(path: Path, name: str) -> Iterator[Document]:
    held, first = list[str](), ""
    for place, line in lines(path):
        if re.search(r"<DOC>", line, re.I):
            if held:
                raise InputError("data", f"{place}: a <DOC> in the one that began at {first}")
            held, first = [line], place
        elif held:
            held.append(line)
        elif line.strip():
            raise InputError("data", f"{place}: text outside of a <DOC>: {line.strip()[:60]!r}")
        if held and re.search(r"</DOC>", line, re.I):
            yield _trec_document("".join(held), first)
            held = []
    if held:
        raise InputError("data", f"{first}: a <DOC> that does not end")


def _trec_document(markup: str, place: str) -> Document:
    number = re.search(r"<DOCNO>\s*(.*?)\s*</DOCNO>", markup, re.I | re.S)
    if not number or not number[1]:
        raise InputError("data", f"{place}: a <DOC> without <DOCNO>")
    title = re.search(rf"<({_TITLE_TAGS})>(.*?)</\1>", markup, re.I | re.S)
    rest = markup.replace(number[0], " ").replace(title[0] if title else number[0], " ")
    return Document(number[1], _untagged(rest), _untagged(title[2]) if title else "")


def _untagged(markup: str) -> str:
    import html

    return " ".join(html.unescape(re.sub(r"<[^<>]*>", " ", markup)).split())


def _contexts(path: Path, name: str) -> Iterator[Document]:
    """Every context once, as it stands first."""
    seen = set[str]()
    for asked in read_contexts(path):
        for document in asked.documents:
            if document.id not in seen:
                seen.add(document.id)
                yield document
        if not all(document.text for document in asked.documents):
            raise InputError("data", f"{path}, question {asked.id}: a context without a text")


READERS: dict[str, Callable[[Path, str], Iterator[Document]]] = {
    ".txt": _plain,
    ".md": _markdown,
    ".markdown": _markdown,
    ".html": _html,
    ".htm": _html,
    ".pdf": _pdf,
    ".jsonl": _rows,
    ".parquet": _rows,
    ".csv": _rows,
    ".tsv": _rows,
    ".trec": _trec,
    ".sgml": _trec,
    ".sgm": _trec,
    ".json": _contexts,
}


def _bytes(path: Path) -> bytes:
    with opened(path) as file:
        return file.read()


def _package(module: str, package: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise InputError("data", f"files of this kind need {package}: pip install 'etude[search]'") from error
