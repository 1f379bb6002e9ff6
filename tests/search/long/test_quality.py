"""Ties are guesses: what truncation cannot tell apart it does not find."""

from __future__ import annotations

import math

import pytest
import torch

from etude.search.long import Truncation
from etude.search.long.checks import _learned
from etude.search.long.encoder import best_matches
from etude.search.long.quality import ndcg


def test_of_documents_that_are_all_alike_one_is_found_by_chance() -> None:
    encoder = Truncation().extend(_learned(), 64)
    beginning = "The sea was grey. " * 20
    texts = [beginning + ending for ending in ("One.", "Two.", "Three.", "Four.")]
    scores = best_matches(encoder.queries(["Where is two?"]), encoder.encode(texts), 4)
    assert ndcg(scores, torch.tensor([1]), k=1) == pytest.approx(0.25)


def test_without_ties_it_is_the_gain_of_the_rank() -> None:
    scores = torch.tensor([[0.5, 0.4, 0.3, 0.2]] * 4)
    for rank in range(1, 5):
        answers = torch.full((4,), rank - 1)
        assert ndcg(scores, answers, k=3) == pytest.approx(1 / math.log2(rank + 1) if rank <= 3 else 0)


def test_with_ties_it_is_the_mean_over_their_orders() -> None:
    scores = torch.tensor([[0.9, 0.5, 0.5, 0.5, 0.1]])
    expected = sum(1 / math.log2(rank + 1) for rank in (2, 3)) / 3
    assert ndcg(scores, torch.tensor([2]), k=3) == pytest.approx(expected)
