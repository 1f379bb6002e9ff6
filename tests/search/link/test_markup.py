"""End-to-end linking: only the text with marks and names can be written, and it comes back whole."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etude.errors import InputError
from etude.search.constrained.namer import Namer
from etude.search.link.annotating import annotate, marked_up, marks_of
from etude.search.link.markup import Marks, Markup, Span, read
from etude.search.link.window import marked
from etude.search.seq2seq import small, vocabulary

MARKS = Marks(91, 92, 93, 94, 1)
TEXT = [5, 6, 7]


def written(rule: Markup) -> set[tuple[int, ...]]:
    """Everything that a rule allows for one text."""
    found, under_way = set(), [((), rule.start(1))]
    while under_way:
        tokens, states = under_way.pop()
        moves = rule.moves(states)
        for row, token in enumerate(moves.tokens.tolist()):
            longer = (*tokens, token)
            if token == rule.end:
                found.add(longer)
            else:
                under_way.append((longer, moves.states[row : row + 1]))
    return found


def test_every_part_of_a_text_may_be_a_mention() -> None:
    every = written(Markup([TEXT], MARKS, [[70], [70, 71]]))
    assert all(read(tokens, MARKS).text == TEXT for tokens in every)
    marked_parts = [read(tokens, MARKS).mentions for tokens in every]
    spans = {tuple((first, last) for first, last, _ in mentions) for mentions in marked_parts}
    assert spans == {
        (), ((0, 1),), ((1, 2),), ((2, 3),), ((0, 2),), ((1, 3),), ((0, 3),), ((0, 1), (1, 2)),
        ((0, 1), (2, 3)),
        ((1, 2), (2, 3)), ((0, 1), (1, 3)), ((0, 2), (2, 3)), ((0, 1), (1, 2), (2, 3)),
    }  # fmt: skip
    names = {tuple(name) for tokens in every for _, _, name in read(tokens, MARKS).mentions}
    assert names == {(70,), (70, 71)}


def test_only_mentions_that_are_known() -> None:
    every = written(Markup([TEXT], MARKS, [[70]], mentions=[[6, 7], [6]]))
    assert every == {
        (5, 6, 7, 1),
        (5, 91, 6, 92, 93, 70, 94, 7, 1),
        (5, 91, 6, 7, 92, 93, 70, 94, 1),
    }


def test_a_mention_has_its_own_candidates_or_none() -> None:
    rule = Markup([TEXT], MARKS, mentions=[[5], [7]], candidates={(5,): [[70], [71]]}, nil=[80])
    named = {(first, tuple(name)) for w in written(rule) for first, _, name in read(w, MARKS).mentions}
    assert named == {(0, (70,)), (0, (71,)), (2, (80,))}


def test_states_of_several_texts_do_not_mix() -> None:
    rule = Markup([[5], [6, 6]], MARKS, [[70]])
    moves = rule.moves(rule.start(2))
    assert moves.rows.tolist() == [0, 0, 1, 1]
    assert moves.tokens.tolist() == [5, 91, 6, 91]


def test_what_cannot_be_marked_is_refused() -> None:
    with pytest.raises(InputError, match=r"^names: "):
        Markup([TEXT], MARKS)
    with pytest.raises(InputError, match=r"^texts: "):
        Markup([[5, 91]], MARKS, [[70]])


@given(st.lists(st.sampled_from(["red", "mill", "of", "troy"]), max_size=12), st.integers(2, 8), st.data())
def test_a_window_has_the_mention_and_as_many_words_as_fit(words: list[str], room: int, data: Any) -> None:
    at = data.draw(st.integers(0, len(words)))
    text = " ".join([*words[:at], "MENTION", *words[at:]])
    start = text.index("MENTION")
    found = marked(text, start, start + 7, words=room).split()
    left, right = found[: found.index("[START_ENT]")], found[found.index("[END_ENT]") + 1 :]
    assert len(left) + len(right) <= room
    assert len(left) + len(right) >= min(len(words), room - room % 2)
    assert words[:at][len(words[:at]) - len(left) :] == left and words[at:][: len(right)] == right


def test_the_longer_side_gives_way() -> None:
    assert marked("a b c X d", 6, 7, words=3) == "b c [START_ENT] X [END_ENT] d"
    assert marked("a X b c d", 2, 3, words=3) == "a [START_ENT] X [END_ENT] b c"
    assert marked("a b X c d", 4, 5, words=2) == "b [START_ENT] X [END_ENT] c"
    with pytest.raises(InputError, match=r"^start: "):
        marked("a", 0, 2)


def namer() -> Namer:
    """A model that has learnt nothing."""
    tokenizer = vocabulary(["in Troy they met", "Paris of Troy"], 300, ["{", "}", "[", "]"])
    return Namer(small(len(tokenizer), width=32, layers=1, seed=0), tokenizer)


def test_whatever_the_model_spans_are_parts_of_the_text() -> None:
    texts = ["in Troy they met", "  odd   spaces\tand Troy", ""]
    for text, spans in zip(texts, annotate(namer(), texts, ["Paris", "Troy (city)"], beams=3), strict=True):
        for span in spans:
            said = text[span.start : span.start + span.length]
            assert said == said.strip() != ""
            assert span.name in ("Paris", "Troy (city)")


def test_candidates_and_mentions_bound_what_is_found() -> None:
    [found] = annotate(
        namer(), ["in Troy they met"], mentions=["Troy"], candidates={"Troy": ["Troy (city)"]}, beams=3
    )
    assert found in ([], [Span(3, 4, "Troy (city)")])


def test_what_is_to_be_learnt_is_read_back() -> None:
    text, spans = "in Troy they met", [Span(3, 4, "Troy (city)")]
    model = namer()
    ids = model.tokenizer(marked_up(text, spans), add_special_tokens=False)["input_ids"]
    parts = read([*ids, model.end], marks_of(model))
    assert model.tokenizer.decode(parts.text).strip() == text
    assert [model.tokenizer.decode(name).strip() for _, _, name in parts.mentions] == ["Troy (city)"]


def test_a_tokenizer_without_marks_is_refused() -> None:
    tokenizer = vocabulary(["ab"], 300)
    model = Namer(small(len(tokenizer), width=32, layers=1, seed=0), tokenizer)
    with pytest.raises(InputError, match=r"^model: "):
        annotate(model, ["ab"], ["b"])
