"""Questions are as checkpoints know them, and answers become permutations."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from etude.search.rerank.prompts import Listing, plain


@given(
    st.text(alphabet="[]> 0123456789AZaz,", max_size=80),
    st.integers(1, 30),
    st.sampled_from(["letters", "numbers"]),
)
def test_any_answer_becomes_a_permutation(text: str, count: int, kind: str) -> None:
    listing = Listing(kind)  # type: ignore[arg-type]
    order = listing.read(text, count)
    assert sorted(order) == list(range(count))
    assert listing.read(listing.answer(order), count) == order


def test_a_good_answer_is_read_as_it_stands() -> None:
    assert Listing("numbers").read("[12] > [3] > [1]", 12)[:3] == [11, 2, 0]
    assert Listing("letters").read("[C] > [A] > [B]", 3) == [2, 0, 1]
    assert Listing("letters").read("Ranking: C > A", 3) == [2, 0, 1]


def test_the_instructions_are_those_of_rank_llm() -> None:
    asked = Listing("letters").question("what [1]", ["first\npassage [2]", "second"])
    assert asked == (
        "I will provide you with 2 passages, each indicated by an alphabetical identifier []. Rank the "
        "passages based on their relevance to the search query: what (1).\n"
        "[A] first passage (2)\n"
        "[B] second\n"
        "Search Query: what (1).\n"
        "Rank the 2 passages above based on their relevance to the search query. All the passages should be "
        "included and listed using identifiers, in descending order of relevance. The output format should "
        "be [] > [], e.g., [B] > [A], Answer concisely and directly and only respond with the ranking "
        "results, do not say any word or explain."
    )


def test_brackets_around_words_stay() -> None:
    assert plain("[see] [1] and [23a]") == "[see] (1) and [23a]"
