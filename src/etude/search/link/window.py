"""A mention with the words around it."""

from __future__ import annotations

from etude.data.mentions import END, START
from etude.errors import InputError

WORDS = 384
"""Words of a context, on both sides together."""


def marked(text: str, start: int, stop: int, words: int = WORDS) -> str:
    """A text with its mention marked, and as much of the words around it as are read.

    All words if they fit. Else all of the shorter side if that is no more than half, and as many of the
    other side as are left; else half of either side. The left side is cut at its beginning, the right one at
    its end. (In the authors' data script, section A of the appendix of the paper.)

    Parameters
    ----------
    text : with the mention in it.
    start, stop : characters of the mention.
    words : around it, at most.

    Raises
    ------
    InputError : naming ``start`` if the mention is not within the text.

    Examples
    --------
    >>> marked("He met Paris of Troy there", 7, 12, words=2)
    'met [START_ENT] Paris [END_ENT] of'
    """
    if not 0 <= start < stop <= len(text):
        raise InputError("start", f"{start}:{stop} is no mention within the {len(text)} characters")
    left, right = text[:start].split(), text[stop:].split()
    half = words // 2
    if len(left) + len(right) > words:
        if len(left) <= half:
            right = right[: words - len(left)]
        elif len(right) <= half:
            left = left[len(left) + len(right) - words :]
        else:
            left, right = left[-half:], right[:half]
    return " ".join([*left, START, text[start:stop], END, *right])
