"""Pages in the markup of MediaWiki, one a file, linked by their titles."""

from __future__ import annotations

import re
from pathlib import Path

from etude.data.pages.page import Page, assembled

_TEMPLATE = re.compile(r"\{\{[^{}]*\}\}|\{\|.*?\|\}|<ref[^>/]*/>|<ref.*?</ref>|<!--.*?-->", re.DOTALL)
_LINK = re.compile(r"\[\[([^\[\]|#]*)(?:#[^\[\]|]*)?(?:\|([^\[\]]*))?\]\]")
_HEADING = re.compile(r"^=+\s*(.*?)\s*=+\s*$")
_NAMESPACE = re.compile(r"^(file|image|category|template|help|wikipedia):", re.IGNORECASE)


def read(path: Path, identifier: str) -> Page:
    """One file; its name without ``.wiki`` is the page's title, by which others link to it."""
    return parsed(path.read_text(encoding="utf-8", errors="replace"), identifier)


def parsed(text: str, identifier: str) -> Page:
    """A page of MediaWiki's markup; links lead to ``<title>.wiki``, with spaces for underscores.

    Examples
    --------
    >>> text = "A '''wing''' lifts.{{cn}} See [[tail|tails]]." + chr(10) + "== Use ==" + chr(10) + "Flight."
    >>> page = parsed(text, "wing.wiki")
    >>> page.title, [section.paragraphs for section in page.sections], page.links
    ('wing', [('A wing lifts. See tails.',), ('Flight.',)], ('tail.wiki',))
    """
    while (shorter := _TEMPLATE.sub("", text)) != text:  # templates stand inside templates
        text = shorter
    links = [f"{target.strip().replace('_', ' ')}.wiki" for target, _ in _LINK.findall(text)]
    text = _LINK.sub(lambda link: "" if _NAMESPACE.match(link[1]) else link[2] or link[1], text)
    title = identifier.removesuffix(".wiki").rpartition("/")[2].replace("_", " ")
    blocks = [(True, title)]
    for line in re.split(r"\n+", text):
        found = _HEADING.match(line)
        blocks.append((bool(found), re.sub(r"'{2,}|^[*#:;]+\s*", "", found[1] if found else line)))
    return assembled(identifier, blocks, links)
