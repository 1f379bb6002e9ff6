"""Prompts to explain: the user's own, windows of a text, or such of which it is known what decides them."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from etude.errors import InputError
from etude.explain.attribution.explaining import encoded

MIDDLE = (
    "She closed the book and looked out of the window for a while.",
    "The rest of the day went by without any news.",
)


@dataclass(frozen=True)
class Prompt:
    """A prompt in tokens.

    Parameters
    ----------
    ids : int64 ``[length]``.
    target : the token to explain; None for the model's most likely.
    cue : positions of the tokens that decide it; empty if that is not known.
    """

    ids: Tensor
    target: int | None = None
    cue: tuple[int, ...] = ()


def cued(count: int, seed: int) -> list[tuple[str, str]]:
    """Texts whose end asks for a word that was said once, and that word.

    Examples
    --------
    >>> text, cue = cued(1, seed=0)[0]
    >>> cue in text, text.endswith(cue)
    (True, False)
    """
    draw = random.Random(seed)
    stories = [
        ("My sister is called {cue}. {middle} My sister is called", ("Anna", "Mary", "Laura")),
        ("My flight landed in {cue} at noon. {middle} My flight landed in", _COUNTRIES),
        ("The old sailor lived in {cue}. {middle} The old sailor lived in", _TOWNS),
        ("Her favourite colour is {cue}. {middle} Her favourite colour is", _COLOURS),
        ("He bought a {cue} at the market. {middle} At the market he bought a", _GOODS),
    ]
    made = []
    for number in range(count):
        story, cues = stories[number % len(stories)]
        cue = draw.choice(cues)
        made.append((story.format(cue=cue, middle=draw.choice(MIDDLE)), cue))
    return made


_COUNTRIES = ("Thailand", "Norway", "Brazil", "Egypt")
_TOWNS = ("London", "Paris", "Boston", "Berlin")
_COLOURS = ("red", "blue", "green", "yellow")
_GOODS = ("horse", "lamp", "clock", "basket")


def from_cues(tokenizer: Any, count: int, seed: int) -> list[Prompt]:
    """The prompts of `cued` in tokens, each with its cue's positions and the cue's first token as target."""
    return [_marked(tokenizer, text, f" {cue}", cue, "data") for text, cue in cued(count, seed)]


def from_file(path: Path, tokenizer: Any) -> list[Prompt]:
    """Prompts of a ``.jsonl`` file: ``text``, and perhaps ``target`` and ``cue``, the words that decide it.

    Raises
    ------
    InputError : naming the line that is malformed.
    """
    prompts = []
    for number, row in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        place = f"{path}, line {number}"
        try:
            values = json.loads(row) if row.strip() else None
        except json.JSONDecodeError as error:
            raise InputError("data", f"{place}: not JSON: {error.msg}") from error
        if values is None:
            continue
        if not isinstance(values, dict) or not isinstance(values.get("text"), str):
            raise InputError("data", f"{place}: give text, and perhaps target and cue")
        prompts.append(_marked(tokenizer, values["text"], values.get("target"), values.get("cue"), place))
    if not prompts:
        raise InputError("data", f"{path} holds no prompts")
    return prompts


def from_text(name: str, tokenizer: Any, count: int, length: int) -> list[Prompt]:
    """The beginnings of held-out segments of a text; the model's own next token is explained."""
    from etude import data

    segments: Tensor = data.evaluation(name, tokenizer, length=length, segments=count)
    return [Prompt(ids) for ids in segments]


def _marked(tokenizer: Any, text: str, target: Any, cue: Any, place: str) -> Prompt:
    ids = encoded(tokenizer, text, "data")
    for name, value in (("target", target), ("cue", cue)):
        if value is not None and not isinstance(value, str):
            raise InputError("data", f"{place}: {name} is not text")
    positions: tuple[int, ...] = ()
    if cue:
        start = text.find(cue)
        if start < 0:
            raise InputError("data", f"{place}: the cue {cue!r} is not in the text")
        positions = _covering(tokenizer, text, start, start + len(cue))
    token = int(encoded(tokenizer, target, "data")[0]) if target else None
    return Prompt(ids, token, positions)


def _covering(tokenizer: Any, text: str, start: int, end: int) -> tuple[int, ...]:
    """The tokens that hold any of the characters ``start`` to ``end``."""
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    return tuple(i for i, (begin, stop) in enumerate(offsets) if begin < end and stop > start)


def check_lengths(prompts: list[Prompt], limit: int | None) -> None:
    """Raise `InputError` if a prompt is longer than the model's context."""
    longest = max(len(prompt.ids) for prompt in prompts)
    if limit is not None and longest > limit:
        raise InputError("data", f"a prompt has {longest} tokens, more than the model's {limit}")


def single(text: str, tokenizer: Any) -> list[Prompt]:
    """One prompt, as the user wrote it."""
    return [Prompt(torch.as_tensor(encoded(tokenizer, text, "text")))]
