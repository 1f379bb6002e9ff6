"""Divide text into a part to calibrate on and one to evaluate on; check that two parts share nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from etude.errors import InputError

HELD_OUT = 0.2
"""Share of the characters that is held out for evaluation."""
FEW = 10
"""With fewer documents than this, each is cut in two instead of going to one part as a whole."""
WINDOW = 50
"""Words in a row that two texts must not share."""


def divide(documents: Sequence[str]) -> tuple[list[str], list[str]]:
    """Hold out a fifth of a text; the same text is always divided in the same way.

    Ten or more documents go to one part or the other as a whole, chosen by their digests, so that
    copies of a document stay together. Fewer are each cut at a line or word end: the first four
    fifths are for calibration, the rest for evaluation.

    Parameters
    ----------
    documents : at least one, none empty.

    Returns
    -------
    (calibration, evaluation) : documents or parts of them, in their order.

    Examples
    --------
    >>> divide(["one two three four five six seven eight nine ten"])
    (['one two three four five six seven'], [' eight nine ten'])
    """
    if len(documents) < FEW:
        halves = [_cut(document) for document in documents]
        return [head for head, _ in halves if head], [tail for _, tail in halves if tail]
    held_out = _chosen(documents)
    return [d for d in documents if d not in held_out], [d for d in documents if d in held_out]


def check_disjoint_texts(
    calibration: Sequence[str], evaluation: Sequence[str], names: tuple[str, str]
) -> None:
    """Raise `InputError` if two texts share a document, or 50 words in a row.

    Parameters
    ----------
    calibration, evaluation : documents; white space does not matter.
    names : what the user calls the two.
    """
    ours, theirs = ([document.split() for document in part] for part in (calibration, evaluation))
    whole = {" ".join(words) for words in ours}
    for words in theirs:
        if " ".join(words) in whole:
            raise _shared(words, names, "a document")
    seen = np.unique(np.concatenate([_window_hashes(words) for words in ours]))
    for words in theirs:
        hashes = _window_hashes(words)
        at = np.searchsorted(seen, hashes).clip(max=len(seen) - 1)
        common = seen[at] == hashes if len(seen) else np.zeros(len(hashes), bool)
        if common.any():
            raise _shared(words[int(common.argmax()) :], names, f"{WINDOW} or more words in a row")


def _cut(document: str) -> tuple[str, str]:
    at = int(len(document) * (1 - HELD_OUT))
    line, word = document.rfind("\n", int(at * 0.9), at), document.rfind(" ", 0, at)
    at = line if line > 0 else word if word > 0 else at
    return document[:at], document[at:]


def _chosen(documents: Sequence[str]) -> set[str]:
    """Documents in the order of their digests, as many as fit into the share that is held out."""
    room = HELD_OUT * sum(map(len, documents))
    copies: dict[str, int] = {}
    for document in documents:
        copies[document] = copies.get(document, 0) + len(document)
    chosen: set[str] = set()
    for document in sorted(copies, key=lambda text: hashlib.sha256(text.encode()).digest()):
        if copies[document] <= room:
            chosen.add(document)
            room -= copies[document]
    return chosen or {min(copies, key=copies.__getitem__)}


def _window_hashes(words: Sequence[str]) -> NDArray[np.uint64]:
    """A number for each run of `WINDOW` words: equal runs, equal numbers."""
    count = len(words) - WINDOW + 1
    if count < 1:
        return np.empty(0, np.uint64)
    numbers = np.fromiter((hash(word) & 0xFFFFFFFFFFFFFFFF for word in words), np.uint64, len(words))
    total = np.zeros(count, np.uint64)
    for offset in range(WINDOW):  # a polynomial in an odd base, modulo 2^64
        total = total * np.uint64(0x9E3779B97F4A7C15) + numbers[offset : offset + count]
    return total


def _shared(words: Sequence[str], names: tuple[str, str], what: str) -> InputError:
    start = " ".join(words[:8])
    where = f"{names[1]} shares {what} with {names[0]}" if names[0] != names[1] else f"its parts share {what}"
    return InputError("data", f"{where} ({start!r}...), so what it calibrates on would be judged by itself")
