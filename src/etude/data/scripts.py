"""Made languages: a text's letters in another script, its words perhaps in another order.

They are parallel to the text that they are made of, word for word, and share no letter with it; digits and
punctuation stay. So all that an encoder can know of one from another is in what it has learnt.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable

_FIRST_LETTERS = {"cyrillic": (0x0410, 0x0430), "armenian": (0x0531, 0x0561), "georgian": (0x1C90, 0x10D0)}
"""Of each script: the code points of its first capital and small letter."""

SCRIPTS = tuple(_FIRST_LETTERS)


def written(text: str, script: str) -> str:
    """A text in letters of another script; Armenian has the words of a sentence from last to first.

    Parameters
    ----------
    text : in Latin letters; others stay.
    script : ``"latin"`` leaves it as it is.

    Raises
    ------
    KeyError : for another script than those of `SCRIPTS`.

    Examples
    --------
    >>> written("A cat, 2 dogs.", "cyrillic")
    'А вау, 2 гожт.'
    >>> [len(written("A cat sat. It ran.", script)) for script in SCRIPTS]
    [18, 18, 18]
    """
    if script == "latin":
        return text
    capital, small = _FIRST_LETTERS[script]
    letters = {ord(letter): capital + place for place, letter in enumerate(string.ascii_uppercase)}
    letters |= {ord(letter): small + place for place, letter in enumerate(string.ascii_lowercase)}
    return _ORDERS.get(script, str)(text).translate(letters)


def _backwards(text: str) -> str:
    """The words of each sentence from last to first; what ends it stays at its end."""
    return " ".join(_sentence_backwards(sentence) for sentence in re.split(r"(?<=[.!?]) ", text))


def _sentence_backwards(sentence: str) -> str:
    end = re.search(r"[.!?]*$", sentence)
    body = sentence[: end.start()] if end else sentence
    return " ".join(reversed(body.split(" "))) + sentence[len(body) :]


_ORDERS: dict[str, Callable[[str], str]] = {"armenian": _backwards}
