"""Pages of a tree of HTML files, as tools such as Sphinx build them."""

from __future__ import annotations

import posixpath
import string
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from etude.data.pages.page import Page, assembled

_HEADINGS = {f"h{level}" for level in range(1, 7)}
_BLOCKS = {"p", "li", "dd", "dt", "td", "th", "blockquote", "figcaption"}
_SKIPPED = {"script", "style", "nav", "header", "footer", "aside", "pre", "form", "head"}
_MARKS = string.whitespace + string.punctuation
"""Between links these make no text."""
_VOID = {
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr",
}  # fmt: skip


def read(path: Path, identifier: str) -> Page:
    """One file: headings, blocks of text and links of its main part, without navigation and code.

    A block that is a link and nothing else is navigation.

    Parameters
    ----------
    path : the file.
    identifier : its path in the tree, to which links are resolved.
    """
    parser = _Parser()
    parser.feed(path.read_text(encoding="utf-8", errors="replace"))
    parser.close()
    return assembled(identifier, parser.blocks, (resolved(link, identifier) for link in parser.links))


def resolved(link: str, identifier: str) -> str:
    """The identifier of the page that a link leads to; "" for one to another site.

    Examples
    --------
    >>> resolved("../glossary.html#term-key", "library/bisect.html"), resolved("https://a.b/c.html", "d.html")
    ('glossary.html', '')
    """
    parts = urlsplit(link)
    if parts.scheme or parts.netloc or not parts.path:
        return ""
    return posixpath.normpath(posixpath.join(posixpath.dirname(identifier), unquote(parts.path)))


class _Parser(HTMLParser):
    """Collects blocks and links; where a part is marked as the main one, those of it alone."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[tuple[bool, str]] = []
        self.links: list[str] = []
        self._open: list[str] = []
        self._skipped = 0
        self._main = 0
        self._text: list[str] = []
        self._plain = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        facts = {name: value or "" for name, value in attrs}
        if not self._main and (tag in ("main", "article") or facts.get("role") == "main"):
            self.blocks, self.links, self._text, self._plain = [], [], [], False
            self._main = len(self._open) + 1
        if tag in _HEADINGS | _BLOCKS:
            self._flush(False)
        if tag in _VOID:
            return
        self._open.append(tag)
        if not self._skipped and (tag in _SKIPPED or "headerlink" in facts.get("class", "")):
            self._skipped = len(self._open)
        if tag == "a" and not self._skipped and self._main >= 0:
            self.links.append(facts.get("href", ""))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self._open:
            return
        if tag in _HEADINGS | _BLOCKS:
            self._flush(tag in _HEADINGS)
        while self._open.pop() != tag:  # what was not closed is closed with what holds it
            pass
        if len(self._open) < self._skipped:
            self._skipped = 0
        if self._main > 0 and len(self._open) < self._main:
            self._flush(False)
            self._main = -1

    def handle_data(self, data: str) -> None:
        if not self._skipped and self._main >= 0:
            self._text.append(data)
            self._plain |= "a" not in self._open and data.strip(_MARKS) != ""

    def close(self) -> None:
        super().close()
        self._flush(False)

    def _flush(self, heading: bool) -> None:
        text = "".join(self._text).strip()
        if text and (heading or self._plain):
            self.blocks.append((heading, text))
        self._text, self._plain = [], False
