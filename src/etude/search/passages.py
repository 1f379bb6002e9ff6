"""Running text in pairs: a prefix and what followed it, cut at ends of sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

SHORTEST = 10
"""Tokens of a suffix, at least."""


@dataclass(frozen=True)
class Pair:
    """A prefix and its true continuation.

    Parameters
    ----------
    prefix, suffix : neighbouring text; white space is collapsed.
    document : number of the document that both are from.
    """

    prefix: str
    suffix: str
    document: int


def pairs(documents: Sequence[str], tokenizer: Any, prefix: int, suffix: int) -> list[Pair]:
    """All pairs of some documents; no two suffixes overlap.

    Parameters
    ----------
    documents : running text.
    tokenizer : what counts.
    prefix : tokens of a prefix, at most.
    suffix : tokens of a suffix, at most; at least `SHORTEST`.

    Examples
    --------
    >>> from etude.models import load
    >>> _, tokenizer = load("nano-llama")
    >>> text = "He went out and shut the door behind him. It was cold, and she saw no one in the street."
    >>> [(pair.prefix, pair.suffix[:7]) for pair in pairs([text], tokenizer, prefix=40, suffix=40)]
    [('He went out and shut the door behind him.', 'It was ')]
    """
    return [
        Pair(before, after, number)
        for number, document in enumerate(documents)
        for before, after in _of(sentences(document), tokenizer, prefix, suffix)
    ]


def sentences(text: str) -> list[str]:
    """A text's sentences, about: cut behind a point, question or exclamation mark before a capital.

    Examples
    --------
    >>> sentences('"Oh!" he said. Then he left.')
    ['"Oh!" he said.', 'Then he left.']
    """
    flat = " ".join(text.split())
    return (
        re.split(r"(?<=[.!?]) (?=[\"'“‘(]?[A-Z])|(?<=[.!?][\"'”’]) (?=[\"'“‘(]?[A-Z])", flat) if flat else []
    )


def _of(parts: Sequence[str], tokenizer: Any, prefix: int, suffix: int) -> Iterator[tuple[str, str]]:
    encoded = tokenizer([f" {part}" for part in parts], add_special_tokens=False, verbose=False)["input_ids"]
    sizes = [len(ids) for ids in encoded]
    middle = 1
    while middle < len(parts):
        begin = _reach(sizes, middle - 1, -1, prefix)
        end = _reach(sizes, middle, 1, suffix)
        if begin < middle and sum(sizes[middle:end]) >= SHORTEST:
            yield " ".join(parts[begin:middle]), " ".join(parts[middle:end])
        middle = max(end, middle + 1)


def _reach(sizes: Sequence[int], at: int, step: int, room: int) -> int:
    """How far whole sentences go from ``at`` until there is no more room: the bound of the slice."""
    while 0 <= at < len(sizes) and sizes[at] <= room:
        room -= sizes[at]
        at += step
    return at if step > 0 else at + 1
