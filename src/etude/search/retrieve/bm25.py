"""BM25 over the words of ``bm25s``' tokenizer, with the statistics of the whole index."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import annotated_types as at

from etude.method import method
from etude.search.collection import Corpus
from etude.search.retrieve.index import Index, build
from etude.search.retrieve.words import Language, Variant, Words


@method("bm25", task="retrieve")
class BM25:
    """Rank by the words that question and document share; rare words count more, long documents less.

    A word t of the question adds ``idf(t) * tf / (tf + k1 * (1 - b + b * |d| / avgdl))``, with
    ``idf(t) = ln(1 + (N - n + 0.5) / (n + 0.5))`` for n of N documents that hold it (variant ``lucene``). A
    word that stands twice in the question counts twice. The statistics are those of the whole index, deleted
    documents included, however many segments it has.

    Parameters
    ----------
    variant : of the formula, as ``bm25s`` names them: lucene, robertson, atire, bm25l or bm25+.
    k1 : how soon more of the same word stops to count, >= 0.
    b : how much a document's length counts, in [0, 1].
    delta : what a word counts at least, in bm25l and bm25+, >= 0.
    stemmer : language of the Snowball stemmer, or none.
    stop_words : language of the words that are left out, or none.

    Examples
    --------
    >>> from etude.search.collection import Document
    >>> index = BM25().index([Document("a", "the wing of a bird"), Document("b", "a bird sings")])
    >>> index.search({"q": "wings of birds"})
    {'q': {'a': 0.350..., 'b': 0.0729...}}

    References
    ----------
    Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009; the variants as in
    Kamphuis et al., "Which BM25 Do You Mean?", ECIR 2020, and in ``bm25s``.
    """

    variant: Variant = "lucene"
    k1: Annotated[float, at.Ge(0)] = 1.5
    b: Annotated[float, at.Interval(ge=0, le=1)] = 0.75
    delta: Annotated[float, at.Ge(0)] = 0.5
    stemmer: Language = "english"
    stop_words: Language = "english"

    def index(self, corpus: Corpus) -> Index:
        """Index a corpus."""
        return build(self, self.engine(), corpus)

    def engine(self, folder: Path | None = None) -> Words:
        """Counts words; learns nothing."""
        return Words(self)
