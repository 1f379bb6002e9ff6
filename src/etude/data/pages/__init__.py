"""Pages that link to one another, with their sections: from HTML, Markdown, MediaWiki or JSON lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from etude.data.pages import html, markdown, wiki
from etude.data.pages.page import Page, Section, without_strangers
from etude.data.rows import kind_of, rows
from etude.data.sets import find_folder
from etude.errors import InputError, unknown
from etude.files import new_file

__all__ = ["NAMES", "Page", "Section", "load_pages", "locate_pages", "write_pages"]

NAMES = {"python-docs": "Python's own documentation: 500 pages of HTML and the links between them"}
"""Trees of pages that are found by name."""

_PYTHON_DOCS = "/usr/share/doc"
_LISTS = ("genindex*.html", "contents.html", "py-modindex.html", "search.html", "download.html")
"""Pages of Sphinx's that hold no text of their own."""
_READERS: dict[str, Callable[[Path, str], Page]] = {
    ".html": html.read,
    ".htm": html.read,
    ".md": markdown.read,
    ".wiki": wiki.read,
}


def load_pages(name_or_path: str | Path) -> tuple[Page, ...]:
    """Pages with sections and links.

    Parameters
    ----------
    name_or_path : ``"python-docs"``; a folder of ``.html``, ``.md`` or ``.wiki`` files, whose links are
        followed by their paths; or a ``.jsonl`` file with rows of `write_pages`:
        ``{"id", "title", "sections": [{"heading", "paragraphs"}], "links": [ids]}``.

    Returns
    -------
    tuple of Page : those with text, by their identifiers; links that lead nowhere are left out.

    Raises
    ------
    InputError : naming ``pages`` if there are none.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "a.md").write_text("# Wings" + chr(10) + "They lift. See [tails](b.md).")
    >>> _ = (folder / "b.md").write_text("# Tails" + chr(10) + "They steady.")
    >>> [(page.title, page.links) for page in load_pages(folder)]
    [('Wings', ('b.md',)), ('Tails', ())]
    """
    path = locate_pages(name_or_path)
    return _read(path, _state(path))


def locate_pages(name_or_path: str | Path) -> Path:
    """The folder or file that is meant; see `load_pages`."""
    name = str(name_or_path)
    if name == "python-docs":
        return _python_docs()
    path = Path(name).expanduser()
    if path.exists():
        return path
    if "/" in name or name.startswith((".", "~")) or path.suffix:
        raise InputError("pages", f"there is no file or folder {name}")
    raise unknown("pages", name, NAMES)


def write_pages(pages: Iterable[Page], path: Path) -> None:
    """Write pages as JSON lines."""
    with new_file(path) as temporary:
        temporary.write_text("".join(json.dumps(_row(page)) + "\n" for page in pages), encoding="utf-8")


def _row(page: Page) -> dict[str, object]:
    sections = [{"heading": each.heading, "paragraphs": [*each.paragraphs]} for each in page.sections]
    return {"id": page.id, "title": page.title, "sections": sections, "links": [*page.links]}


def _python_docs() -> Path:
    """As a set of the user's, or as Debian's ``python3-doc`` installs it."""
    folder = find_folder("python_docs")
    places = [folder] if folder else sorted(Path(_PYTHON_DOCS).glob("python3.*/html"))
    if not places:
        raise InputError(
            "pages",
            "python-docs is not on this machine: install it (apt install python3-doc), or put the archive of "
            "HTML from https://docs.python.org/3/download.html into $ETUDE_DATA/python_docs",
        )
    return places[-1]


def _files(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix in _READERS and path.is_file() and not any(map(path.match, _LISTS))
    )


def _state(path: Path) -> tuple[tuple[int, int], ...]:
    """What changes when a file does."""
    files = _files(path) if path.is_dir() else [path]
    return tuple((file.stat().st_size, file.stat().st_mtime_ns) for file in files)


@lru_cache(maxsize=4)
def _read(path: Path, state: tuple[tuple[int, int], ...]) -> tuple[Page, ...]:
    if path.is_dir():
        found = [_READERS[file.suffix](file, file.relative_to(path).as_posix()) for file in _files(path)]
    elif kind_of(path) == ".jsonl":
        found = [_page(place, row) for place, row in rows(path)]
    else:
        raise InputError("pages", f"{path} is neither a folder of pages nor a .jsonl file")
    kept = without_strangers([page for page in found if page.sections])
    if not kept:
        raise InputError("pages", f"{path} holds no page with text ({', '.join(_READERS)})")
    return tuple(kept)


def _page(place: str, row: dict[str, object]) -> Page:
    try:
        sections: Sequence[dict[str, object]] = row["sections"]  # type: ignore[assignment]
        return Page(
            str(row["id"]),
            str(row["title"]),
            tuple(Section(str(s["heading"]), tuple(map(str, s["paragraphs"]))) for s in sections),  # type: ignore[call-overload]
            tuple(map(str, row.get("links") or ())),  # type: ignore[call-overload]
        )
    except (KeyError, TypeError) as error:
        raise InputError("pages", f"{place}: no page with id, title, sections and links ({error})") from None
