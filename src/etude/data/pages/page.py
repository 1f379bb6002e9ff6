"""A page: its sections, and the pages that it links to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

BOILERPLATE = {
    "contents", "external links", "further reading", "navigation", "notes", "references", "see also",
    "table of contents",
}  # fmt: skip
"""Headings of sections that are left out: they say nothing of their page."""


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it, up to the next.

    Parameters
    ----------
    heading : "" for what stands above the first.
    paragraphs : none of them empty.
    """

    heading: str
    paragraphs: tuple[str, ...]


@dataclass(frozen=True)
class Page:
    """One document of a linked collection.

    Parameters
    ----------
    id : unique in its collection.
    title : of the page.
    sections : in their order; the first says what the page is about.
    links : identifiers of the pages that it links to, each once.
    """

    id: str
    title: str
    sections: tuple[Section, ...]
    links: tuple[str, ...] = ()


def assembled(identifier: str, blocks: Iterable[tuple[bool, str]], links: Iterable[str]) -> Page:
    """A page of headings (True) and paragraphs (False) in their order; the first heading is its title.

    Sections without text and those of `BOILERPLATE` are left out.

    Examples
    --------
    >>> blocks = [(True, "Wings"), (False, "They lift."), (True, "See also"), (False, "Tails")]
    >>> page = assembled("a", blocks, ["b", "b"])
    >>> page.sections, page.links
    ((Section(heading='Wings', paragraphs=('They lift.',)),), ('b',))
    """
    sections: list[tuple[str, list[str]]] = [("", [])]
    title = ""
    for is_heading, text in blocks:
        text = re.sub(r"\s+", " ", text).strip()
        if is_heading:
            title = title or text
            sections.append((text, []))
        elif text:
            sections[-1][1].append(text)
    kept = [
        Section(heading, tuple(texts))
        for heading, texts in sections
        if texts and not _is_boilerplate(heading)
    ]
    others = dict.fromkeys(link for link in links if link != identifier)
    return Page(identifier, title or identifier, tuple(kept), tuple(others))


def _is_boilerplate(heading: str) -> bool:
    return heading.casefold().strip(" :¶") in BOILERPLATE


def without_strangers(pages: Sequence[Page]) -> list[Page]:
    """The pages without links to what is none of them."""
    known = {page.id for page in pages}
    return [replace(page, links=tuple(link for link in page.links if link in known)) for page in pages]
