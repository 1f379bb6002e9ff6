"""What BM25 counts: which documents hold a word, how often, and how long they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from etude.search.collection import Document

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from etude.search.retrieve.bm25 import BM25
    from etude.search.retrieve.index import Found

    Floats = NDArray[np.float32]

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
_BATCH = 4096


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

    def tokens(self, texts: Sequence[str]) -> Any:
        """Words of each text as numbers (``ids``), and which word each number means (``vocab``)."""
        import bm25s

        stemmer, left_out = self.settings.stemmer, self.settings.stop_words
        return bm25s.tokenize(
            list(texts),
            stopwords=[] if left_out == "none" else left_out,
            stemmer=None if stemmer == "none" else _stemmer(stemmer),
            show_progress=False,
        )

    def write(self, documents: Iterable[Document], folder: Path) -> None:
        """Count words: for each word, in which documents it stands and how often there."""
        source, vocabulary = iter(documents), dict[str, int]()
        keys, counts, lengths = [np.empty(0, np.int64)], [np.empty(0, np.int64)], list[int]()
        while batch := [document.content for document in islice(source, _BATCH)]:
            found = self.tokens(batch)
            sizes = [len(ids) for ids in found.ids]
            names = sorted(found.vocab, key=found.vocab.__getitem__)
            numbers = np.array([vocabulary.setdefault(name, len(vocabulary)) for name in names], np.int64)
            words = numbers[np.fromiter((i for ids in found.ids for i in ids), np.int64, sum(sizes))]
            rows = np.repeat(np.arange(len(lengths), len(lengths) + len(batch)), sizes)
            unique, count = np.unique(words << 32 | rows, return_counts=True)
            keys.append(unique)
            counts.append(count)
            lengths += sizes
        key, count = np.concatenate(keys), np.concatenate(counts)
        order = np.argsort(key, kind="stable")
        starts = np.searchsorted(key[order], np.arange(len(vocabulary) + 1) << 32)
        arrays = {
            "lengths": np.array(lengths, np.int32),
            "starts": starts.astype(np.int64),
            "rows": (key[order] & 0xFFFFFFFF).astype(np.int32),
            "counts": count[order].astype(np.min_scalar_type(count.max(initial=0))),
        }
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array)
        (folder / "words.json").write_text(json.dumps([*vocabulary], ensure_ascii=False), encoding="utf-8")

    def open(self, segments: Sequence[Path]) -> WordSearcher:
        """Open all segments with one set of statistics."""
        return WordSearcher(self, [Postings(folder) for folder in segments])

    def save(self, folder: Path) -> None:
        """Nothing was learnt."""


class Postings:
    """One segment: for each word the rows that hold it, and how often."""

    def __init__(self, folder: Path) -> None:
        self.lengths, self.starts, self.rows, self.counts = (
            np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("lengths", "starts", "rows", "counts")
        )
        words = json.loads((folder / "words.json").read_text(encoding="utf-8"))
        self.numbers = {word: number for number, word in enumerate(words)}

    def of(self, word: str) -> slice:
        """Where the word's rows and counts stand."""
        number = self.numbers.get(word)
        return slice(0, 0) if number is None else slice(self.starts[number], self.starts[number + 1])


class WordSearcher:
    """Scores documents by the words of a question."""

    def __init__(self, engine: Words, segments: Sequence[Postings]) -> None:
        self._engine = engine
        self._segments = segments
        lengths = np.concatenate([segment.lengths for segment in segments])
        mean = lengths.mean() or 1.0
        settings = engine.settings
        self._sizes = np.cumsum([0, *(len(segment.lengths) for segment in segments)])
        self._norms = (1 - settings.b + settings.b * lengths / mean).astype(np.float32)
        self._part = PARTS[settings.variant]

    def search(self, queries: Sequence[str], k: int) -> Found:
        """The ``k`` best documents that share a word with a question which tells documents apart."""
        positions = np.full((len(queries), k), -1, np.int64)
        scores = np.zeros((len(queries), k), np.float32)
        found = self._engine.tokens(queries)
        names = {number: word for word, number in found.vocab.items()}
        for row, ids in enumerate(found.ids):
            all_scores, base = self.scores([names[number] for number in ids])
            best = top(all_scores, k)
            positions[row, : len(best)] = best
            scores[row, : len(best)] = all_scores[best] + base
        return positions, scores

    def scores(self, words: Sequence[str]) -> tuple[Floats, float]:
        """Of every document [n], above what a document has that holds none of the words; and that."""
        settings, total = self._engine.settings, len(self._norms)
        scores, base = np.zeros(total, np.float32), 0.0
        for word in words:
            places = [segment.of(word) for segment in self._segments]
            holding = sum(place.stop - place.start for place in places)
            if not holding:
                continue
            weight = np.float32(IDF[settings.variant](total, holding))
            none = self._part(np.zeros(1, np.float32), np.ones(1, np.float32), settings.k1, settings.delta)[0]
            for segment, place, start in zip(self._segments, places, self._sizes, strict=False):
                rows = segment.rows[place] + start if start else segment.rows[place]
                counts = segment.counts[place].astype(np.float32)
                part = self._part(counts, self._norms[rows], settings.k1, settings.delta)
                scores[rows] += weight * (part - none)
            base += float(weight * none)
        return scores, base


def top(scores: Floats, k: int) -> NDArray[np.int64]:
    """Positions of the ``k`` highest scores above zero, best first; the first is first among equals.

    Examples
    --------
    >>> top(np.array([0.0, 1.0, 3.0, 1.0], np.float32), k=2).tolist()
    [2, 1]
    """
    places = np.flatnonzero(scores)
    values = scores[places]
    if len(places) > k:
        least = np.partition(values, len(values) - k)[len(values) - k]
        above, equal = places[values > least], places[values == least]
        places = np.concatenate([above, equal[: k - len(above)]])
        places.sort()
        values = scores[places]
    return places[np.argsort(-values, kind="stable")]


def _log(ratio: float) -> float:
    return float(np.log(ratio))


IDF: dict[str, Callable[[int, int], float]] = {
    "lucene": lambda total, holding: _log(1 + (total - holding + 0.5) / (holding + 0.5)),
    "robertson": lambda total, holding: _log(max(1.0, (total - holding + 0.5) / (holding + 0.5))),
    "atire": lambda total, holding: _log(total / holding),
    "bm25l": lambda total, holding: _log((total + 1) / (holding + 0.5)),
    "bm25+": lambda total, holding: _log((total + 1) / holding),
}
"""What a word is worth, by how many documents there are and how many hold it."""


def _saturated(counts: Floats, norms: Floats, k1: float, delta: float) -> Floats:
    return counts / (counts + np.float32(k1) * norms)


def _atire(counts: Floats, norms: Floats, k1: float, delta: float) -> Floats:
    return np.float32(k1 + 1) * counts / (counts + np.float32(k1) * norms)


def _lower_bounded(counts: Floats, norms: Floats, k1: float, delta: float) -> Floats:
    return _atire(counts, norms, k1, delta) + np.float32(delta)


def _long(counts: Floats, norms: Floats, k1: float, delta: float) -> Floats:
    shifted = counts / norms + np.float32(delta)
    return np.float32(k1 + 1) * shifted / (np.float32(k1) + shifted)


PARTS: dict[str, Callable[[Floats, Floats, float, float], Floats]] = {
    "lucene": _saturated,
    "robertson": _saturated,
    "atire": _atire,
    "bm25l": _long,
    "bm25+": _lower_bounded,
}
"""How much of its worth a word brings, by its count in documents and by their lengths over the mean."""


@cache
def _stemmer(language: str) -> Any:
    import snowballstemmer

    return snowballstemmer.stemmer(language)
