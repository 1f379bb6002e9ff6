"""Pages in passages and sentences."""

from __future__ import annotations

import re
from dataclasses import dataclass

from etude.data.pages.page import Page

WORDS = 80
"""Of a passage, at most, unless a single paragraph is longer."""
FEWEST_WORDS = 5
"""Of a paragraph that counts and of a sentence that asks."""
_SENTENCE_ENDS = re.compile(r"(?<=[.!?])\s+(?=[\"'(\[]?[^\W\d_a-z])")


@dataclass(frozen=True)
class Passage:
    """Paragraphs of one section that stand together.

    Parameters
    ----------
    page : its page's identifier.
    title : its page's title.
    section : the number of its section on the page.
    heading : of the section.
    sentences : in their order.
    """

    page: str
    title: str
    section: int
    heading: str
    sentences: tuple[str, ...]

    @property
    def text(self) -> str:
        """All sentences."""
        return " ".join(self.sentences)


def sentences(text: str) -> list[str]:
    """A text's sentences: they end in ``.``, ``!`` or ``?`` before a capital or a letter without case.

    Examples
    --------
    >>> sentences("See e.g. the wing. It lifts! (So it does.)")
    ['See e.g. the wing.', 'It lifts!', '(So it does.)']
    """
    return _SENTENCE_ENDS.split(text.strip())


def passages(page: Page, words: int = WORDS) -> list[Passage]:
    """A page in passages that cross no section.

    Parameters
    ----------
    page : its paragraphs of less than `FEWEST_WORDS` words are left out.
    words : of a passage at most; a longer paragraph is a passage of its own.
    """
    found = []
    for number, section in enumerate(page.sections):
        held: list[str] = []
        for paragraph in section.paragraphs:
            if len(paragraph.split()) < FEWEST_WORDS:
                continue
            if held and len(" ".join([*held, paragraph]).split()) > words:
                found.append((number, section.heading, held))
                held = []
            held = [*held, paragraph]
        if held:
            found.append((number, section.heading, held))
    return [
        Passage(page.id, page.title, number, heading, tuple(s for text in texts for s in sentences(text)))
        for number, heading, texts in found
    ]
