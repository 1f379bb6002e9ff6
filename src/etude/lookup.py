"""Rank a handful of short texts by words: BM25 over stems."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

_STOP = frozenset(
    re.findall(r"\w+", "a an and are as at be by for from in into is it its of on or that the to with")
)


def rank(words: str, texts: Mapping[str, str]) -> list[tuple[str, float]]:
    """The keys of the texts that share a word with ``words``, best first, with their scores.

    Words are compared by their English stems, so that "prune" finds "pruning".

    Parameters
    ----------
    words : what to look for.
    texts : key to text.

    Returns
    -------
    list of (key, score), scores positive and descending; empty if nothing fits.

    Examples
    --------
    >>> texts = {"flap": "pruning of channels", "awq": "quantisation of weights"}
    >>> [key for key, _ in rank("prune a channel", texts)]
    ['flap']

    References
    ----------
    Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009, as
    implemented by bm25s (Lu, 2024).
    """
    import bm25s

    query = stems(words)
    if not query or not texts:
        return []
    index = bm25s.BM25()
    index.index([stems(text) for text in texts.values()], show_progress=False)
    keys = list(texts)
    scores = index.get_scores(query)
    order = sorted(range(len(keys)), key=lambda i: -scores[i])
    return [(keys[i], float(scores[i])) for i in order if scores[i] > 0]


def stems(text: str) -> list[str]:
    """The stems of the words of a text that carry meaning, lower-cased."""
    return [_stem(word) for word in re.findall(r"[a-z0-9]+", text.lower()) if word not in _STOP]


@cache
def _stem(word: str) -> str:
    stemmed: str = _stemmer().stemWord(word)
    return stemmed


@cache
def _stemmer() -> Any:
    import snowballstemmer

    return snowballstemmer.stemmer("english")
