"""Sentences of running text, in Latin and in Chinese writing."""

from __future__ import annotations

import re

_END = re.compile(r"(?:(?<=[.!?])|(?<=[.!?][\"')\]]))\s+(?=[^a-z])|(?<=[。！？])|\n+")


def sentences(text: str) -> list[str]:
    """Sentences, stripped: each ends in a full stop, a question or an exclamation mark, or a line.

    Examples
    --------
    >>> sentences("It flew, approx. ten miles. Did it?")
    ['It flew, approx. ten miles.', 'Did it?']
    >>> sentences("它飞了。真的！")
    ['它飞了。', '真的！']
    """
    return [part.strip() for part in _END.split(text) if part.strip()]
