"""The softmax over a batch beside sentence-transformers, and its cached gradient beside the plain one."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from etude.search.towers.loss import cached, in_batch, strangers

torch.manual_seed(0)
QUERIES, PASSAGES = torch.randn(12, 8), torch.randn(12, 8)


def test_one_pair_is_always_right() -> None:
    assert in_batch(QUERIES[:1], PASSAGES[:1]) == 0


def test_it_is_the_cross_entropy_of_the_diagonal() -> None:
    by_hand = -(QUERIES @ PASSAGES.T).log_softmax(1).diagonal().mean()
    assert torch.allclose(in_batch(QUERIES, PASSAGES), by_hand)
    assert math.isclose(float(in_batch(0 * QUERIES, PASSAGES)), math.log(12), rel_tol=1e-6)


def test_it_is_the_multiple_negatives_ranking_loss() -> None:
    losses = pytest.importorskip("sentence_transformers.losses")
    theirs = losses.MultipleNegativesRankingLoss(nn.Identity(), scale=1.0, similarity_fct=_dot)
    expected = theirs.compute_loss_from_embeddings([QUERIES, PASSAGES], None)
    assert abs(float(in_batch(QUERIES, PASSAGES) - expected)) < 1e-6


def _dot(left: Tensor, right: Tensor) -> Tensor:
    return left @ right.T


def test_what_is_left_out_does_not_count() -> None:
    wrong = torch.ones(12, 12, dtype=torch.bool)
    assert torch.equal(in_batch(QUERIES, PASSAGES, wrong), in_batch(QUERIES, PASSAGES))
    wrong[0, 5] = False
    moved = PASSAGES.clone()
    moved[5] += 3.0
    alone = in_batch(QUERIES[:1], PASSAGES[[0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]], None)
    scores = (QUERIES @ PASSAGES.T).masked_fill(~wrong, -torch.inf)
    assert torch.allclose(-scores.log_softmax(1)[0, 0], alone)
    assert in_batch(QUERIES, PASSAGES, torch.zeros(12, 12, dtype=torch.bool)) == 0


def test_passages_of_the_same_pages_are_no_wrong_ones() -> None:
    wrong = strangers(["a", "a", "b", "c"], ["a", "a", "b", "b"])
    assert wrong.tolist() == [
        [False, False, True, True],
        [False, False, True, True],
        [True, True, False, True],
        [True, True, False, False],
    ]


@pytest.mark.parametrize("part", [1, 3, 5, 12, 20])
def test_cached_gradients_are_the_plain_ones(part: int) -> None:
    queries, passages = torch.randn(12, 6), torch.randn(12, 6)
    plain, ours = _towers(), _towers()
    wrong = strangers([str(i // 2) for i in range(12)], [str(i // 2) for i in range(12)])
    torch.manual_seed(5)
    expected = in_batch(plain[0](queries), plain[1](passages), wrong)
    torch.autograd.backward(expected)
    torch.manual_seed(5)
    parts = [[rows[at : at + part] for at in range(0, 12, part)] for rows in (queries, passages)]
    value = cached([*ours], parts, partial(in_batch, wrong=wrong))
    assert not value.requires_grad and abs(float(value - expected.detach())) < 1e-5
    for mine, theirs in zip(ours.parameters(), plain.parameters(), strict=True):
        assert mine.grad is not None and theirs.grad is not None
        assert torch.allclose(mine.grad, theirs.grad, atol=1e-5)


def test_a_shared_tower_gets_the_gradient_of_both() -> None:
    tower, plain = _towers()[0], _towers()[0]
    rows = torch.randn(12, 6)
    torch.autograd.backward(in_batch(plain(rows), plain(rows + 1)))
    cached([tower, tower], [[rows[:7], rows[7:]], [rows[:4] + 1, rows[4:] + 1]], in_batch)
    for mine, theirs in zip(tower.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(mine.grad, theirs.grad, atol=1e-5)  # type: ignore[arg-type]


def test_dropout_is_drawn_once() -> None:
    tower = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.5)).train()
    seen: list[Tensor] = []

    def encode(rows: Tensor) -> Tensor:
        seen.append(tower(rows))
        return seen[-1]

    rows = torch.randn(8, 6)
    torch.manual_seed(3)
    cached([encode, encode], [[rows[:4], rows[4:]], [rows[:4], rows[4:]]], in_batch)
    for first, second in zip(seen[:4], seen[4:], strict=True):
        assert torch.equal(first.detach(), second.detach())
    after = torch.rand(1)
    torch.manual_seed(3)
    for part in (rows[:4], rows[4:]) * 2:
        tower(part)
    assert torch.equal(torch.rand(1), after)  # as if each part had been encoded once


def _towers() -> Any:
    torch.manual_seed(1)
    return nn.ModuleList(nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4)) for _ in range(2))
