"""The tree in arrays against one of dictionaries, in both of its storages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etude.errors import InputError
from etude.search.constrained.compact import Unary
from etude.search.constrained.trie import Trie, merged

SEQUENCES = st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=6), min_size=1, max_size=40)


def children(sequences: list[list[int]]) -> dict[tuple[int, ...], list[int]]:
    """What may follow each prefix, by dictionaries."""
    found: dict[tuple[int, ...], set[int]] = {}
    for sequence in sequences:
        for at, token in enumerate(sequence):
            found.setdefault(tuple(sequence[:at]), set()).add(token)
    return {prefix: sorted(tokens) for prefix, tokens in found.items()}


@given(SEQUENCES)
def test_both_storages_have_the_children_of_a_tree_of_dictionaries(sequences: list[list[int]]) -> None:
    trie = Trie.of(sequences)
    starts, stops = trie.degrees.bounds(np.arange(len(trie.degrees)))
    compact = Trie(trie.tokens, Unary.of(stops - starts), trie.ends, trie.entries)
    expected = children(sequences)
    for tree in (trie, compact):
        for sequence in sequences:
            for at in range(len(sequence) + 1):
                prefix = sequence[:at]
                assert tree.children(prefix) == expected.get(tuple(prefix), [])
            assert [sequences[i] for i in tree.entries_of(sequence)] == [sequence] * sequences.count(sequence)
        assert tree.find([6]) == -1


@given(SEQUENCES)
def test_the_table_gives_the_sequences_back(sequences: list[list[int]]) -> None:
    rows = [row[row >= 0].tolist() for row in Trie.of(sequences).table()]
    assert rows == sequences


def test_edges_of_many_nodes_are_those_of_each() -> None:
    trie = Trie.of([[3, 4, 1], [3, 1], [5, 1]])
    nodes = np.array([0, trie.find([3]), trie.find([3, 1]), 0])
    rows, tokens, reached = trie.edges(nodes)
    assert rows.tolist() == [0, 0, 1, 1, 3, 3]
    assert tokens.tolist() == [3, 5, 1, 4, 3, 5]
    assert reached[2] == trie.find([3, 1])


@pytest.mark.parametrize("compact", [False, True])
def test_saved_and_opened_it_is_the_same(tmp_path: Path, compact: bool) -> None:
    trie = Trie.of([[70_000, 4, 1], [3, 1], [3, 1]])
    trie.save(tmp_path)
    again = Trie.open(tmp_path, compact=compact)
    assert again.children([]) == [3, 70_000]
    assert again.entries_of([3, 1]) == [1, 2]


def test_merged_places_run_on() -> None:
    whole = merged([Trie.of([[3, 1], [4, 4, 1]]), Trie.of([[3, 1], [3, 5, 5, 5, 1]])])
    assert whole.entries_of([3, 1]) == [0, 2]
    assert whole.entries_of([3, 5, 5, 5, 1]) == [3]
    assert whole.depth == 5


@pytest.mark.parametrize("wrong", [[], [[]], [[3], []], [[-1]], [["a"]], [3]])
def test_what_are_no_names_is_refused(wrong: list[object]) -> None:
    with pytest.raises((InputError, ValueError)):
        Trie.of(wrong)  # type: ignore[arg-type]


def test_degrees_of_another_tree_are_refused() -> None:
    with pytest.raises(ValueError, match="degrees"):
        Unary.read(Unary.of(np.array([1, 0])).words, nodes=3)
