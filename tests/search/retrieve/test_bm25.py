"""BM25 beside ``bm25s``, in every variant and on collections whose figures are known."""

from __future__ import annotations

import os
from typing import Any, get_args

import numpy as np
import pytest

from etude.data.collections import load_collection
from etude.search.measures import measure
from etude.search.retrieve import BM25
from etude.search.retrieve.words import Language, Variant, Words, top

needs_data = pytest.mark.skipif("ETUDE_DATA" not in os.environ, reason="needs $ETUDE_DATA")


def theirs(texts: list[str], query: str, method: BM25, k: int) -> Any:
    import bm25s
    import snowballstemmer

    stem = None if method.stemmer == "none" else snowballstemmer.stemmer(method.stemmer)
    words = {"stopwords": [] if method.stop_words == "none" else method.stop_words, "stemmer": stem}
    found = bm25s.BM25(
        method=method.variant, k1=method.k1, b=method.b, delta=method.delta, auto_compile=False
    )
    found.index(bm25s.tokenize(texts, **words, show_progress=False), show_progress=False)
    tokens = bm25s.tokenize([query], **words, show_progress=False)
    return found.retrieve(tokens, k=k, show_progress=False)[1][0]


@needs_data
@pytest.mark.parametrize(
    "method",
    [
        *(BM25(variant=variant) for variant in get_args(Variant)),
        BM25(k1=0.9, b=0.4, stemmer="none"),
        BM25(k1=0.0, b=1.0, stop_words="none"),
    ],
    ids=str,
)
def test_scores_are_those_of_bm25s(method: BM25) -> None:
    collection = load_collection("adi")
    texts = [document.content for document in collection.documents]
    index = method.index(collection.documents)
    for query, text in [*collection.queries.items()][::7]:
        scores = [*index.search({query: text}, k=20)[query].values()]
        assert np.abs(np.array(scores) - theirs(texts, text, method, len(scores))).max() < 1e-5


@needs_data
@pytest.mark.parametrize(
    ("name", "ndcg", "recall"),
    [
        ("cranfield", 0.3650, 0.7349),
        ("cisi", 0.3858, 0.4399),
        ("cacm", 0.4937, 0.6774),
        ("adi", 0.4938, None),
    ],
)
def test_known_figures(name: str, ndcg: float, recall: float | None) -> None:
    collection = load_collection(name)
    found = measure(BM25().index(collection.documents).search(collection.queries), collection.qrels)
    assert found["nDCG@10"] == pytest.approx(ndcg, abs=6e-5)
    if recall is not None:  # of all 82 documents of ADI, bm25s finds those without a common word too
        assert found["R@100"] == pytest.approx(recall, abs=6e-5)


@pytest.mark.parametrize("language", get_args(Language))
def test_words_are_those_of_bm25s(language: Language) -> None:
    import bm25s
    import snowballstemmer

    text = "Les ailes der Flügel, the wings' Überzeugung: 3.5 d'avions à Øst y más, não é x"
    tokens = bm25s.tokenize(
        [text],
        stopwords=[] if language == "none" else language,
        stemmer=None if language == "none" else snowballstemmer.stemmer(language),
        return_ids=False,
        show_progress=False,
    )
    assert Words(BM25(stemmer=language, stop_words=language)).words(text) == tokens[0]


def test_a_word_asked_twice_counts_twice() -> None:
    from etude.search.collection import Document

    index = BM25().index([Document("a", "wing"), Document("b", "tail")])
    once, twice = (index.search({"q": text})["q"]["a"] for text in ("wing", "wing wing"))
    assert twice == pytest.approx(2 * once)


def test_equal_scores_stand_as_the_documents_do() -> None:
    scores = np.array([1, 2, 0, 2, 1, 1], np.float32)
    assert top(scores, 4).tolist() == [1, 3, 0, 4]
    assert top(scores, 9).tolist() == [1, 3, 0, 4, 5]
    assert top(np.zeros(3, np.float32), 2).tolist() == []


@pytest.mark.parametrize("size", [0, 5, 64, 700, 20_000])
@pytest.mark.parametrize("k", [1, 10, 100])
def test_the_best_are_those_of_a_stable_sort(size: int, k: int) -> None:
    draw = np.random.default_rng(size)
    for share in (0.01, 0.5, 1.0):
        scores = (draw.integers(1, 50, size) * (draw.random(size) < share)).astype(np.float32)
        expected = np.argsort(-scores, kind="stable")[:k]
        assert top(scores, k).tolist() == expected[scores[expected] > 0].tolist()
