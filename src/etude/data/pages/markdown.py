"""Pages of a tree of Markdown files."""

from __future__ import annotations

import re
from pathlib import Path

from etude.data.pages.html import resolved
from etude.data.pages.page import Page, assembled

_FENCED = re.compile(r"^(```|~~~).*?^\1[^\n]*$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[([^\]]*)\]\(\s*<?([^)\s>]+)>?[^)]*\)")
_HEADING = re.compile(r"#{1,6}\s+(.*?)\s*#*$")
_MARKS = re.compile(r"^\s*([-*+>]|\d+[.)])\s+|[*_`]{1,3}(?=\S)|(?<=\S)[*_`]{1,3}", re.MULTILINE)


def read(path: Path, identifier: str) -> Page:
    """One file: headings that begin with ``#``, paragraphs between empty lines, inline links."""
    return parsed(path.read_text(encoding="utf-8", errors="replace"), identifier)


def parsed(text: str, identifier: str) -> Page:
    """A page of Markdown.

    Examples
    --------
    >>> page = parsed("# Wings" + chr(10) + "They *lift*; see [tails](b.md#top).", "a.md")
    >>> page.sections[0].paragraphs, page.links
    (('They lift; see tails.',), ('b.md',))
    """
    text = _FENCED.sub("", text)
    links = [resolved(link, identifier) for _, link in _LINK.findall(text)]
    blocks = []
    for block in re.split(r"\n\s*\n|(?=^#{1,6}\s)", _LINK.sub(r"\1", text), flags=re.MULTILINE):
        heading, _, rest = block.strip().partition("\n")
        found = _HEADING.match(heading)
        if found:
            blocks.append((True, _MARKS.sub("", found[1])))
        blocks.append((False, _MARKS.sub("", rest if found else block)))
    return assembled(identifier, blocks, links)
