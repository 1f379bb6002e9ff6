"""Documents of a length that is asked for, each with one thing hidden in it that a question is about.

Lengths are in tokens of the encoder that is judged, special ones included. Where in a document the thing
stands is drawn, and told: an encoder that reads beginnings finds what is hidden there.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from etude.errors import InputError
from etude.search.embedder import frame
from etude.search.passages import sentences

FILLER = (
    "The grass is green.",
    "The sky is blue.",
    "The sun is yellow.",
    "Here we go.",
    "There and back again.",
)
FIRST = """
Alice Amos Arthur Beatrice Caleb Charles Clara Daniel Edith Edward Eleanor Emily Francis George Grace Hannah
Harold Helen Henry Hugh Isaac Jane John Joseph Julia Laura Lewis Lucy Margaret Martha Mary Matthew Nathan
Oliver Owen Peter Philip Rachel Ralph Robert Rose Ruth Samuel Sarah Simon Susan Thomas Walter William
"""
LAST = """
Abbott Archer Baker Barton Bell Bishop Brown Carter Clark Cole Cooper Dawson Dean Drake Ellis Field Fisher
Forest Fox Gray Green Hale Harding Hart Hill Holmes Hunt King Lane Marsh Mason Miller Moore Morton North
Page Palmer Porter Price Reed Rivers Sharp Shaw Stone Turner Wade Waters West White Wood Young
"""
ANIMALS = ("horse", "dog", "cat", "parrot", "goat", "sheep", "pig", "bear", "monkey", "lion")
TOWNS = ("London", "Paris", "Rome", "Boston", "Dublin", "York", "Bath", "Oxford", "Vienna", "Venice")
COLOURS = ("white", "black", "brown", "red", "grey", "golden", "blue", "green", "yellow", "silver")


@dataclass(frozen=True)
class Haystack:
    """Documents, questions, and which document answers each.

    Parameters
    ----------
    documents, questions : texts.
    answers : number of the document that answers a question.
    ends : tokens of a document up to the end of what is hidden in it; 0 where nothing is.
    """

    documents: tuple[str, ...]
    questions: tuple[str, ...]
    answers: tuple[int, ...]
    ends: tuple[int, ...]


def passkeys(tokenizer: Any, length: int, documents: int, queries: int, seed: int) -> Haystack:
    """Pass keys of people in five sentences that come again and again.

    Parameters
    ----------
    tokenizer : of the encoder that is judged.
    length : tokens of a document, special ones included; a sentence fewer at most.
    documents : each with a key of another person.
    queries : that are asked for, of the first documents.
    seed : of names, keys and places.

    Raises
    ------
    InputError : naming ``lengths`` if a key does not fit, or ``documents`` if there are more than names.

    Examples
    --------
    >>> from etude.models import load
    >>> hay = passkeys(load("minilm")[1], length=64, documents=2, queries=1, seed=0)
    >>> hay.questions[0], hay.answers
    ('What is the pass key for Matthew Hunt?', (0,))
    """
    draw = random.Random(f"passkey {length} {seed}")
    return _passkeys(tokenizer, length, _people(draw, documents), queries, draw)


def needles(tokenizer: Any, length: int, documents: int, queries: int, seed: int) -> Haystack:
    """Facts of people and their animals in running text of novels; parameters as of `passkeys`."""
    draw = random.Random(f"needle {length} {seed}")
    people = _people(draw, documents)
    animals, towns, colours = ([draw.choice(kind) for _ in people] for kind in (ANIMALS, TOWNS, COLOURS))
    hidden = [
        f"{person} of {town} keeps a {colour} {animal}."
        for person, town, colour, animal in zip(people, towns, colours, animals, strict=True)
    ]
    parts = _prose()
    hay = []
    for _ in people:
        begin = draw.randrange(len(parts))
        hay.append((*parts[begin:], *parts[:begin])[: length // 2])
    questions = [f"Which animal does {person} keep?" for person in people[:queries]]
    return _hidden(tokenizer, length, hidden, hay, questions, draw)


def handovers(tokenizer: Any, length: int, documents: int, queries: int, seed: int) -> Haystack:
    """Who gave a key to whom: every second document says the reverse of the one before, in the same words.

    An encoder that does not know the order of words finds one of two. Parameters as of `passkeys`.

    Examples
    --------
    >>> from etude.models import load
    >>> hay = handovers(load("minilm")[1], length=64, documents=2, queries=2, seed=0)
    >>> hay.questions
    ('Edith Wood gave the key to Owen Morton?', 'Owen Morton gave the key to Edith Wood?')
    """
    draw = random.Random(f"handover {length} {seed}")
    return _handovers(tokenizer, length, _people(draw, documents), queries, draw)


def lessons(tokenizer: Any, length: int, count: int, seed: int) -> tuple[list[str], list[str]]:
    """Questions and the documents that answer them, to learn from: half pass keys, half handovers.

    People of lessons are never asked for in judgement.
    """
    draw = random.Random(f"lesson {length} {seed}")
    people = _people(draw, count, lessons=True)
    half = count // 2
    parts = (
        _passkeys(tokenizer, length, people[:half], half, draw),
        _handovers(tokenizer, length, people[half:], count - half, draw),
    )
    return [q for part in parts for q in part.questions], [d for part in parts for d in part.documents]


def _passkeys(
    tokenizer: Any, length: int, people: Sequence[str], queries: int, draw: random.Random
) -> Haystack:
    keys = [draw.randrange(10_000, 100_000) for _ in people]
    hidden = [
        f"{person}'s pass key is {key}. Remember it. {key} is the pass key for {person}."
        for person, key in zip(people, keys, strict=True)
    ]
    questions = [f"What is the pass key for {person}?" for person in people[:queries]]
    return _hidden(tokenizer, length, hidden, [FILLER] * len(people), questions, draw)


def _handovers(
    tokenizer: Any, length: int, people: Sequence[str], queries: int, draw: random.Random
) -> Haystack:
    pairs = [pair for a, b in zip(people[::2], people[1::2], strict=False) for pair in ((a, b), (b, a))]
    pairs += [(people[-1], people[0])] * (len(people) % 2)
    hidden = [f"{one} gave the key to {other}." for one, other in pairs]
    questions = [f"{one} gave the key to {other}?" for one, other in pairs[:queries]]
    return _hidden(tokenizer, length, hidden, [FILLER] * len(people), questions, draw)


def _people(draw: random.Random, count: int, lessons: bool = False) -> list[str]:
    """Different people; those of lessons are never asked for in judgement."""
    every = [f"{first} {last}" for first in FIRST.split() for last in LAST.split()][0 if lessons else 1 :: 2]
    if count > len(every):
        raise InputError("documents", f"{count} are more than the {len(every)} names that there are")
    return draw.sample(every, count)


def _hidden(
    tokenizer: Any,
    length: int,
    hidden: Sequence[str],
    hay: Sequence[Sequence[str]],
    questions: Sequence[str],
    draw: random.Random,
) -> Haystack:
    """Each sentence in hay of its own, repeated and cut to the length."""
    begin, end = frame(tokenizer)
    sizes = _sizes(tokenizer, [*hidden, *(part for parts in hay for part in parts)])
    documents, ends = [], []
    for needle, parts in zip(hidden, hay, strict=True):
        room = length - len(begin) - len(end) - sizes[needle]
        if room < 0:
            raise InputError("lengths", f"{length} tokens have no room for {needle!r}")
        kept: list[str] = []
        while (part := parts[len(kept) % len(parts)]) and sizes[part] <= room:
            room -= sizes[part]
            kept.append(part)
        at = draw.randint(0, len(kept))
        documents.append(" ".join([*kept[:at], needle, *kept[at:]]))
        ends.append(len(begin) + sum(sizes[part] for part in kept[:at]) + sizes[needle])
    return Haystack(tuple(documents), tuple(questions), tuple(range(len(questions))), tuple(ends))


def _sizes(tokenizer: Any, parts: Sequence[str]) -> dict[str, int]:
    """Tokens of each sentence behind another."""
    every = list(dict.fromkeys(parts))
    rows = tokenizer([f" {part}" for part in every], add_special_tokens=False, verbose=False)["input_ids"]
    return {part: len(row) for part, row in zip(every, rows, strict=True)}


@cache
def _prose() -> tuple[str, ...]:
    from etude import data

    return tuple(part for text in data.load("novels", "evaluation") for part in sentences(text))
