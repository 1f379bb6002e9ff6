"""What BM25 counts: which documents hold a word, how often, and how long they are."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache, partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from etude.search.collection import Document

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from etude.search.retrieve.bm25 import BM25
    from etude.search.retrieve.found import Found

    Floats = NDArray[np.floating[Any]]

Variant = Literal["lucene", "robertson", "atire", "bm25l", "bm25+"]
Language = Literal[
    "none",
    "dutch",
    "english",
    "french",
    "german",
    "italian",
    "norwegian",
    "portuguese",
    "russian",
    "spanish",
    "swedish",
]
_WORD = re.compile(r"(?u)\b\w\w+\b")
_ENGLISH = (
    "a an and are as at be but by for if in into is it no not of on or such that the their then there these "
    "they this to was will with"
)
_BATCH = 4096
_BLOCK = 64
"""Scores of which the largest is looked at first."""
_NO_ROWS, _NO_COUNTS = np.empty(0, np.int32), np.empty(0, np.uint8)


class Words:
    """The engine of `BM25`.

    Parameters
    ----------
    settings : variant, k1, b, stemmer and stop words.
    """

    fingerprint = ""
    segment = 200_000

    def __init__(self, settings: BM25) -> None:
        self.settings = settings
        self._left_out = stop_words(settings.stop_words)
        self._stem = stemmer(settings.stemmer)

    def words(self, text: str) -> list[str]:
        """The stems of a text's words, as ``bm25s.tokenize`` finds them.

        Examples
        --------
        >>> from etude.search.retrieve import BM25
        >>> Words(BM25()).words("What lifts the wings of a plane?")
        ['what', 'lift', 'wing', 'plane']
        """
        return [self._stem(word) for word in _WORD.findall(text.lower()) if word not in self._left_out]

    def write(self, documents: Iterable[Document], folder: Path) -> None:
        """Count words: for each word, in which documents it stands and how often there."""
        source, numbers = iter(documents), Numbers(self._left_out, self._stem)
        keys, counts, lengths = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        while batch := [document.content.lower() for document in islice(source, _BATCH)]:
            found = [list(map(numbers.__getitem__, _WORD.findall(text))) for text in batch]
            words = np.fromiter(chain.from_iterable(found), np.int64)
            rows = np.repeat(np.arange(len(batch)), [len(each) for each in found])[words >= 0]
            key, count = np.unique(
                words[words >= 0] << 32 | rows + sum(map(len, lengths)), return_counts=True
            )
            keys.append(key)
            counts.append(count)
            lengths.append(np.bincount(rows, minlength=len(batch)))
        key, count = np.concatenate(keys), np.concatenate(counts)
        order = np.argsort(key, kind="stable")
        starts = np.searchsorted(key[order], np.arange(len(numbers.stems) + 1) << 32)
        arrays: dict[str, NDArray[Any]] = {
            "lengths": np.concatenate(lengths).astype(np.int32),
            "starts": starts.astype(np.int64),
            "rows": (key[order] & 0xFFFFFFFF).astype(np.int32),
            "counts": count[order].astype(np.min_scalar_type(count.max(initial=0))),
        }
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array)
        (folder / "words.json").write_text(json.dumps([*numbers.stems], ensure_ascii=False), encoding="utf-8")

    def open(self, segments: Sequence[Path]) -> WordSearcher:
        """Open all segments with one set of statistics."""
        return WordSearcher(self, [Postings(folder) for folder in segments])

    def save(self, folder: Path) -> None:
        """Nothing was learnt."""


class Numbers(dict[str, int]):
    """Words as they stand to the numbers of their stems; -1 for those that are left out."""

    def __init__(self, left_out: frozenset[str], stem: Callable[[str], str]) -> None:
        self.stems: dict[str, int] = {}
        self._left_out, self._stem = left_out, stem

    def __missing__(self, word: str) -> int:
        number = -1 if word in self._left_out else self.stems.setdefault(self._stem(word), len(self.stems))
        self[word] = number
        return number


class Postings:
    """One segment: for each word the rows that hold it, and how often."""

    def __init__(self, folder: Path) -> None:
        self.lengths, self.starts, self.rows, self.counts = (
            np.load(folder / f"{name}.npy", mmap_mode="r").view(np.ndarray)  # a plain array is sliced faster
            for name in ("lengths", "starts", "rows", "counts")
        )
        words = json.loads((folder / "words.json").read_text(encoding="utf-8"))
        self.numbers = {word: number for number, word in enumerate(words)}

    def of(self, word: str) -> slice:
        """Where the word's rows and counts stand."""
        number = self.numbers.get(word)
        return slice(0, 0) if number is None else slice(*self.starts[number : number + 2].tolist())


class WordSearcher:
    """Scores documents by the words of a question."""

    def __init__(self, engine: Words, segments: Sequence[Postings]) -> None:
        lengths = np.concatenate([segment.lengths for segment in segments])
        sizes = [len(segment.lengths) for segment in segments]
        settings = engine.settings
        self._engine = engine
        self._starts = [*zip(segments, np.cumsum([0, *sizes]).tolist(), strict=False)]
        relative = lengths.astype(np.float32) / (float(lengths.mean()) or 1.0)
        self._norms = 1 - settings.b + settings.b * relative
        self._idf = IDF[settings.variant]
        self._part = partial(PARTS[settings.variant], k1=settings.k1, delta=settings.delta)
        self._none = _none(settings)

    def search(self, queries: Sequence[str], k: int) -> Found:
        """The ``k`` best documents that share a word with a question, if the word tells documents apart."""
        positions = np.full((len(queries), k), -1, np.int64)
        scores = np.zeros((len(queries), k), np.float32)
        for row, query in enumerate(queries):
            totals, base = self.scores(self._engine.words(query))
            best = top(totals, k)
            positions[row, : len(best)] = best
            scores[row, : len(best)] = totals[best] + base
        return positions, scores

    def scores(self, words: Sequence[str]) -> tuple[Floats, float]:
        """Of every document [n], above that of a document that holds none of the words; and that one."""
        rows, counts, weights, sizes, base = [_NO_ROWS], [_NO_COUNTS], list[float](), list[int](), 0.0
        for word in words:
            places = [(segment, segment.of(word), start) for segment, start in self._starts]
            holding = sum(place.stop - place.start for _, place, _ in places)
            if not holding:
                continue
            for segment, place, start in places:
                rows.append(segment.rows[place] + start if start else segment.rows[place])
                counts.append(segment.counts[place])
            weights.append(self._idf(len(self._norms), holding))
            sizes.append(holding)
            base += weights[-1] * self._none
        row, count = np.concatenate(rows), np.concatenate(counts).astype(np.float32)
        parts = self._part(count, self._norms.take(row)) - np.float32(self._none)
        parts *= np.repeat(np.array(weights, np.float32), sizes)
        return summed(row, parts, len(self._norms)), base


def summed(rows: NDArray[np.int32], parts: Floats, total: int) -> Floats:
    """Parts added up by the rows that they belong to, [total]; torch does it in the time numpy takes to copy.

    Examples
    --------
    >>> summed(np.array([2, 0, 2], np.int32), np.array([1, 2, 3], np.float32), 4).tolist()
    [2.0, 0.0, 4.0, 0.0]
    """
    totals = torch.zeros(total).index_add_(0, torch.from_numpy(rows), torch.from_numpy(parts))
    found: Floats = totals.numpy()
    return found


def top(scores: NDArray[Any], k: int) -> NDArray[np.int64]:
    """Positions of the ``k`` highest scores above zero, best first; the first is first among equals.

    The largest of each of many blocks are looked at first: the ``k``-th of these is at most the ``k``-th of
    all, and hardly less, so that few are left to be sorted.

    Examples
    --------
    >>> top(np.array([0.0, 1.0, 3.0, 1.0], np.float32), k=2).tolist()
    [2, 1]
    """
    blocks = len(scores) // _BLOCK
    least = 0.0
    if blocks >= k:
        largest = scores[: blocks * _BLOCK].reshape(_BLOCK, blocks).max(0)
        least = np.partition(largest, blocks - k)[blocks - k]
    places = np.flatnonzero(scores >= least if least > 0 else scores > 0)
    values = scores.take(places)
    if len(places) > k:
        least = np.partition(values, len(values) - k)[len(values) - k]
        above, equal = places[values > least], places[values == least]
        places = np.concatenate([above, equal[: k - len(above)]])
        places.sort()
        values = scores[places]
    return places[np.argsort(-values, kind="stable")]


IDF: dict[str, Callable[[int, int], float]] = {
    "lucene": lambda total, holding: math.log(1 + (total - holding + 0.5) / (holding + 0.5)),
    "robertson": lambda total, holding: math.log(max(1.0, (total - holding + 0.5) / (holding + 0.5))),
    "atire": lambda total, holding: math.log(total / holding),
    "bm25l": lambda total, holding: math.log((total + 1) / (holding + 0.5)),
    "bm25+": lambda total, holding: math.log((total + 1) / holding),
}
"""What a word is worth, by how many documents there are and how many hold it."""


def _saturated(counts: Floats, norms: Floats, k1: float, delta: float) -> Floats:
    return counts / (counts + k1 * norms)


def _atire(counts: Floats, norms: Floats, k1: float, delta: float) -> Floats:
    return (k1 + 1) * _saturated(counts, norms, k1, delta)


def _lower_bounded(counts: Floats, norms: Floats, k1: float, delta: float) -> Floats:
    return _atire(counts, norms, k1, delta) + delta


def _long(counts: Floats, norms: Floats, k1: float, delta: float) -> Floats:
    shifted = counts / norms + delta
    return (k1 + 1) * shifted / (k1 + shifted)


def _none(settings: BM25) -> float:
    """What a word brings to a document that lacks it, whatever its length."""
    k1, delta = settings.k1, settings.delta or 1e-9
    bounded = {"bm25+": delta, "bm25l": (k1 + 1) * delta / (k1 + delta)}
    return bounded.get(settings.variant, 0.0)


PARTS: dict[str, Callable[..., Floats]] = {
    "lucene": _saturated,
    "robertson": _saturated,
    "atire": _atire,
    "bm25l": _long,
    "bm25+": _lower_bounded,
}
"""How much of its worth a word brings, by its count in documents and by their lengths over the mean."""


@cache
def stemmer(language: Language) -> Callable[[str], str]:
    """What takes a word's ending off; remembers words."""
    if language == "none":
        return str
    import snowballstemmer

    return lru_cache(100_000)(snowballstemmer.stemmer(language).stemWord)


@cache
def stop_words(language: Language) -> frozenset[str]:
    """Words that say little, as ``bm25s`` lists them; for English they are Lucene's."""
    if language == "none":
        return frozenset()
    if language == "english":  # without bm25s, which takes seconds to import
        return frozenset(_ENGLISH.split())
    from bm25s import stopwords

    return frozenset(getattr(stopwords, f"STOPWORDS_{language.upper()}"))
