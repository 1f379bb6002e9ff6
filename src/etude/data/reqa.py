"""Questions and the passages that answer them, as collections: of headings, and of SQuAD as ReQA has it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from etude.data.documents import Collection, Document
from etude.data.pages import Page, load_pages
from etude.data.pages.passages import Passage, passages, sentences
from etude.data.rows import rows
from etude.data.sets import find_folder, missing
from etude.errors import InputError

NAMES = {
    "python-docs": "passages of Python's documentation; headings ask for what stands below",
    "reqa-xquad": "the sentences of XQuAD's English paragraphs, each with its paragraph; 1,190 questions",
}

FEWEST_WORDS = 3
"""Of a heading that is asked."""
SEPARATOR = " [SEP] "
"""Stands between a sentence and its passage."""
_NUMBER = re.compile(r"^(\d+\.)*\d*\.?\s+")


def load(name: str) -> Collection:
    """One of `NAMES`.

    Raises
    ------
    InputError : if what it is made of is not on this machine, saying where to get it.
    """
    try:
        return headings(load_pages("python-docs")) if name == "python-docs" else squad()
    except InputError as error:
        raise InputError("data", error.message) from error


def headings(pages: Sequence[Page]) -> Collection:
    """Every heading that stands only once is asked, for the passages below it.

    Documents are passages with the title of their page. Titles are not asked, nor what is a sentence of a
    passage, as some entries of lists are. Of passages with equal
    text only the first is kept.

    Raises
    ------
    InputError : naming ``pages`` if no heading can be asked.

    Examples
    --------
    >>> from etude.data.pages import Section
    >>> section = Section("1.2. How a wing lifts", ("Air flows over it, faster.",))
    >>> found = headings([Page("a", "Wings", (section,))])
    >>> found.documents[0], found.queries
    (Document(id='a#0', text='Air flows over it, faster.', title='Wings'), {'a#0': 'How a wing lifts'})
    """
    kept: dict[str, tuple[str, Passage]] = {}
    for page in pages:
        for number, passage in enumerate(passages(page)):
            kept.setdefault(" ".join(passage.text.casefold().split()), (f"{page.id}#{number}", passage))
    said = {sentence.casefold() for _, passage in kept.values() for sentence in passage.sentences}
    below: dict[tuple[str, int, str], list[str]] = {}
    for identifier, passage in kept.values():
        if passage.heading == passage.title or asked(passage.heading).casefold() in said:
            continue
        below.setdefault((passage.page, passage.section, asked(passage.heading)), []).append(identifier)
    times = Counter(heading.casefold() for _, _, heading in below)
    chosen = {
        found[0]: (heading, found)
        for (_, _, heading), found in below.items()
        if times[heading.casefold()] == 1 and len(heading.split()) >= FEWEST_WORDS
    }
    if not chosen:
        raise InputError("pages", "have no heading that stands only once, of three words or more")
    return Collection(
        tuple(Document(identifier, passage.text, passage.title) for identifier, passage in kept.values()),
        {query: heading for query, (heading, _) in chosen.items()},
        {query: dict.fromkeys(found, 1) for query, (_, found) in chosen.items()},
    )


def asked(heading: str) -> str:
    """A heading without its number.

    Examples
    --------
    >>> asked("9.10. Generator expressions")
    'Generator expressions'
    """
    return _NUMBER.sub("", heading)


def squad() -> Collection:
    """Each sentence with its paragraph is a candidate; the right one holds the answer.

    References
    ----------
    Ahmad et al., "ReQA: An Evaluation for End-to-End Answer Retrieval Models", 2019. arXiv:1907.04780.
    """
    folder = find_folder("xquad")
    if folder is None:
        raise missing("xquad", "en.jsonl.gz", "https://github.com/google-deepmind/xquad")
    found = [row for _, row in rows(folder / "en.jsonl.gz")]
    numbers = {text: number for number, text in enumerate(dict.fromkeys(row["context"] for row in found))}
    titles = {row["context"]: row["title"].replace("_", " ") for row in found}
    documents = tuple(
        Document(f"{number}.{place}", f"{sentence}{SEPARATOR}{text}", titles[text])
        for text, number in numbers.items()
        for place, sentence in enumerate(sentences(text))
    )
    qrels = {
        row["id"]: {f"{numbers[row['context']]}.{_place(row['context'], int(row['answer_start']))}": 1}
        for row in found
    }
    return Collection(documents, {row["id"]: row["question"] for row in found}, qrels)


def _place(text: str, start: int) -> int:
    """The number of the sentence in which an offset lies."""
    end = 0
    for number, sentence in enumerate(sentences(text)):
        end = text.index(sentence, end) + len(sentence)
        if start < end:
            return number
    raise ValueError(f"{start} is behind the text's end")
