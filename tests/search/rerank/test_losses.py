"""Losses of listwise rerankers: closed forms, and public libraries where they compute the same."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from sentence_transformers.cross_encoder import losses
from sentence_transformers.cross_encoder.losses.lambda_loss import BaseWeightingScheme
from torch.nn.functional import cross_entropy, softplus

from etude.search.rerank.listwise_losses import importance, label_loss, lambdarank, listnet, weighted_ranknet


def drawn(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(count, generator=generator, dtype=torch.float64)
    return scores, torch.randperm(count, generator=generator) + 1


def test_weighted_ranknet_is_its_closed_form() -> None:
    scores, ranks = drawn(7)
    pairs = [(i, j) for i in range(7) for j in range(7) if ranks[i] < ranks[j]]
    expected = sum(softplus(scores[j] - scores[i]) / (ranks[i] + ranks[j]) for i, j in pairs) / len(pairs)
    assert torch.allclose(weighted_ranknet(scores, ranks), expected, atol=1e-12)


def theirs(scores: torch.Tensor, labels: torch.Tensor, **settings: Any) -> torch.Tensor:
    """What sentence-transformers' loss gives for a model with these scores."""
    loss = losses.LambdaLoss(Scored(scores), **settings)
    found: torch.Tensor = loss([["q"], [["d"] * len(scores)]], [labels])
    return found


class Scored(torch.nn.Module):
    """A model whose scores are given."""

    num_labels = 1
    device = torch.device("cpu")

    def __init__(self, scores: torch.Tensor) -> None:
        super().__init__()
        self.given = scores
        self.seen = 0

    def preprocess(self, pairs: list[Any], **_: Any) -> dict[str, Any]:
        return {"count": len(pairs)}

    def forward(self, tokens: dict[str, Any]) -> dict[str, torch.Tensor]:
        self.seen += tokens["count"]
        return {"scores": self.given[self.seen - tokens["count"] : self.seen]}


class BySumOfRanks(BaseWeightingScheme):
    """FIRST's weights in their frame, for labels that are the number of passages, and one, less the rank."""

    def forward(self, gain: torch.Tensor, discount: torch.Tensor, true_sorted: torch.Tensor) -> torch.Tensor:
        ranks = true_sorted.shape[1] + 1 - true_sorted
        return 1 / (ranks[:, :, None] + ranks[:, None, :])


def test_weighted_ranknet_is_that_of_sentence_transformers() -> None:
    scores, ranks = drawn(9)
    expected = theirs(scores, (10 - ranks).float(), weighting_scheme=BySumOfRanks(), reduction_log="natural")
    assert torch.allclose(weighted_ranknet(scores.float(), ranks), expected, atol=1e-6)


def test_lambdarank_is_that_of_sentence_transformers() -> None:
    scores, ranks = drawn(9)
    deserved = scores.sort(descending=True).values[ranks - 1]
    expected = theirs(scores, deserved.float(), weighting_scheme=losses.NDCGLoss2Scheme())
    assert torch.allclose(lambdarank(scores.float(), ranks), expected, atol=1e-6)


def test_listnet_is_least_where_scores_have_the_right_order() -> None:
    scores, ranks = drawn(6)
    right = scores.sort(descending=True).values[ranks - 1]
    assert listnet(right, ranks) <= listnet(scores, ranks)
    entropy = -(right.softmax(0) * right.log_softmax(0)).sum()
    assert torch.allclose(listnet(right, ranks), entropy)


def test_no_gradient_goes_into_the_target() -> None:
    scores, ranks = drawn(5)
    scores.requires_grad_()
    target = scores.detach().sort(descending=True).values[ranks - 1].softmax(0)
    (found,) = torch.autograd.grad(listnet(scores, ranks), scores)
    assert torch.allclose(found, scores.detach().softmax(0) - target)


def test_lambdarank_weighs_pairs_by_what_they_move() -> None:
    """Two passages, scores 1 and 0, the worse one first: gains of 2^1 - 1 and 0, at ranks 1 and 2."""
    scores = torch.tensor([1.0, 0.0], dtype=torch.float64)
    loss = lambdarank(scores, torch.tensor([2, 1]))
    weight = (1 - 1 / math.log2(3)) * 1.0
    expected = -weight * math.log2(1 / (1 + math.exp(1.0)))
    assert float(loss) == pytest.approx(expected)


def test_weights_of_one_give_the_loss_of_labels() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 5, 11, generator=generator)
    labels = torch.tensor([[-100, 3, 4, 5, 6], [1, 2, -100, 9, 10]])
    expected = cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)
    assert torch.allclose(label_loss(logits, labels), expected)
    assert torch.allclose(label_loss(logits, labels, torch.ones(2, 5)), expected)


def test_importance_falls_from_two_to_one() -> None:
    separator = 0
    labels = torch.tensor([[7, separator] * 400])
    weights = importance(labels, torch.tensor([separator]))[0]
    assert weights[0] == 2.0
    assert weights[4] == 1.5
    assert bool((weights[1::2] == 1).all())
    assert 1 < float(weights[-2]) < 1.12
    assert bool((weights[::2].diff() < 0).all())


def test_importance_is_that_of_a_loop_over_tokens() -> None:
    """As FullRank's own code does it, one token after the other."""
    labels = torch.tensor([[-100, 5, 6, 7, 1, 5, 8, 9, 7, 1, 5, 6, 7, -100]])
    rank, expected = 1, []
    for token in labels[0].tolist():
        expected.append(0.0 if token == -100 else 1.0 if token == 1 else 1 + 1 / math.log2(rank + 1))
        rank += token == 1
    assert importance(labels, torch.tensor([1]))[0].tolist() == pytest.approx(expected)
