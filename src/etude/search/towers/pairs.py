"""Pairs of a question and a passage, made of the structure of documents: ICT, BFS and WLP."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from etude.data.pages import Page, Section
from etude.data.pages.passages import FEWEST_WORDS, WORDS, Passage, passages
from etude.errors import InputError
from etude.files import new_file
from etude.search.collection import Document

Kind = Literal["ict", "bfs", "wlp"]


@dataclass(frozen=True)
class Pair:
    """A question, and the passage that is to be found for it.

    Parameters
    ----------
    query : a sentence.
    passage : the text of the passage, its title left out.
    title : of the passage's page; the passage's tower reads it first.
    page : the passage's page.
    asked : the page that the sentence is of.
    kind : the task that made the pair, or "judged".
    """

    query: str
    passage: str
    title: str
    page: str
    asked: str
    kind: str


class Source:
    """Pages in passages, from which pairs are drawn without end.

    Of passages with equal text, on whatever page, only the first is kept.

    Parameters
    ----------
    pages : with sections and links.
    words : of a passage, at most.
    keep : the chance that the inverse cloze task leaves the sentence in its passage.

    Raises
    ------
    InputError : naming ``pages`` if they hold no text.
    """

    def __init__(self, pages: Sequence[Page], words: int = WORDS, keep: float = 0.0) -> None:
        seen: set[str] = set()
        self.keep = keep
        self.passages: dict[str, list[Passage]] = {}
        for page in pages:
            for passage in passages(page, words):
                text = " ".join(passage.text.casefold().split())
                if text not in seen:
                    seen.add(text)
                    self.passages.setdefault(page.id, []).append(passage)
        if not seen:
            raise InputError("pages", "hold no text")
        self._links = [
            (page.id, target)
            for page in pages
            for target in page.links
            if page.id in self.passages and self._asking(target)
        ]
        self._cloze = [p for own in self.passages.values() for p in own if _is_asking(p.sentences)]
        self._first = [
            (page, passage)
            for page, own in self.passages.items()
            for passage in own
            if any(sentence not in passage.sentences for sentence in self._asking(page))
        ]

    def _asking(self, page: str) -> list[str]:
        """The sentences of a page's first section that can ask."""
        own = self.passages.get(page, [])
        return [
            sentence
            for passage in own
            if passage.section == own[0].section
            for sentence in passage.sentences
            if len(sentence.split()) >= FEWEST_WORDS
        ]

    @property
    def texts(self) -> list[str]:
        """Of all passages, each with its page's title."""
        return [f"{each.title} {each.text}" for own in self.passages.values() for each in own]

    def kinds(self) -> list[Kind]:
        """The tasks that the pages have pairs for."""
        there: dict[Kind, Sequence[object]] = {"ict": self._cloze, "bfs": self._first, "wlp": self._links}
        return [kind for kind, found in there.items() if found]

    def ict(self, draw: random.Random) -> Pair:
        """Inverse cloze: a sentence, and the passage without it."""
        passage = draw.choice(self._cloze)
        asking = [i for i, each in enumerate(passage.sentences) if len(each.split()) >= FEWEST_WORDS]
        chosen = draw.choice(asking)
        stays = draw.random() < self.keep
        rest = [each for i, each in enumerate(passage.sentences) if i != chosen or stays]
        return _pair("ict", passage.sentences[chosen], " ".join(rest), passage, passage.page)

    def bfs(self, draw: random.Random) -> Pair:
        """Body first: a sentence of the page's first section, and a passage of the page without it."""
        page, passage = draw.choice(self._first)
        asking = [sentence for sentence in self._asking(page) if sentence not in passage.sentences]
        return _pair("bfs", draw.choice(asking), passage.text, passage, page)

    def wlp(self, draw: random.Random) -> Pair:
        """Link prediction: a sentence of a page's first section, and a passage of a page that links to it."""
        page, target = draw.choice(self._links)
        passage = draw.choice(self.passages[page])
        return _pair("wlp", draw.choice(self._asking(target)), passage.text, passage, target)

    def drawn(self, kinds: Sequence[Kind], seed: int) -> Iterator[Pair]:
        """Pairs without end, the tasks in equal numbers.

        Raises
        ------
        InputError : naming ``tasks`` for one that the pages have no pairs for.
        """
        for kind in kinds:
            if kind not in self.kinds():
                raise InputError("tasks", f"the pages have no pairs for {kind!r}; they have {self.kinds()}")
        draw = random.Random(seed)
        make: dict[Kind, Callable[[random.Random], Pair]] = {
            "ict": self.ict,
            "bfs": self.bfs,
            "wlp": self.wlp,
        }
        while True:
            yield make[draw.choice(list(kinds))](draw)


def _is_asking(found: Sequence[str]) -> bool:
    return len(found) > 1 and any(len(sentence.split()) >= FEWEST_WORDS for sentence in found)


def _pair(kind: Kind, query: str, text: str, passage: Passage, asked: str) -> Pair:
    return Pair(query, text, passage.title, passage.page, asked, kind)


def leaks(pairs: Iterable[Pair], queries: Iterable[str]) -> list[str]:
    """The queries that a pair asks too, but for case and space; there should be none to be judged by.

    Examples
    --------
    >>> pair = Pair("What lifts?", "A wing.", "Wings", "a", "a", "ict")
    >>> leaks([pair], ["what  lifts?", "What falls?"])
    ['what  lifts?']
    """
    asked = {_plain(pair.query) for pair in pairs}
    return [query for query in queries if _plain(query) in asked]


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def write_pairs(pairs: Iterable[Pair], path: Path) -> None:
    """Write pairs as JSON lines; ``datasets.load_dataset("json", data_files=...)`` reads them."""
    with new_file(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(asdict(pair), ensure_ascii=False) + "\n" for pair in pairs)


def page_of(document: Document) -> Page:
    """A document as a page without sections and links."""
    body = document.text.removeprefix(document.title).strip()
    paragraphs = tuple(filter(None, (part.strip() for part in re.split(r"\n\s*\n", body))))
    return Page(document.id, document.title, (Section("", paragraphs),) if paragraphs else ())
