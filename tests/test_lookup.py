from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from etude.lookup import rank, stems

TEXTS = {
    "one": "Pruning channels of language models",
    "two": "Quantising the weights of a model to four bits",
    "three": "Retrieval of passages by late interaction",
}


def test_words_are_compared_by_their_stems() -> None:
    assert stems("The pruned, pruning and prunes") == ["prune"] * 3
    assert [key for key, _ in rank("prune a channel", TEXTS)] == ["one"]


def test_rare_words_weigh_more() -> None:
    assert next(key for key, _ in rank("model bits", TEXTS)) == "two"


@given(st.text())
def test_any_query_gives_positive_scores_in_order(words: str) -> None:
    scores = [score for _, score in rank(words, TEXTS)]
    assert scores == sorted(scores, reverse=True)
    assert all(score > 0 for score in scores)
