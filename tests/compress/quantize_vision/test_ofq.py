"""OFQ's training: annealing moves nothing but the undecided; oscillation is counted as it should be."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from etude.compress.quantize_vision import LsqVision, Ofq
from etude.compress.quantize_vision.checks import tiny_distilled, tiny_training, tiny_transformer
from etude.compress.quantize_vision.oscillation import OscillationMonitor
from etude.compress.quantize_vision.recipe import Lesson
from etude.compress.quantize_vision.training import Schedule, distillation
from etude.compress.quantize_vision.transformer import inner_weights
from etude.compress.quantize_vision.weights import Latent, StatsQ


def annealed(boundary: float, steps: int = 2) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Weights before and after annealing, and how far each was from a threshold."""
    ofq = Ofq(boundary=boundary)
    lesson = Lesson(ofq, tiny_transformer(), ofq.design, tiny_training(epochs=3))
    lesson.train(2)
    product = next(m for m in lesson.model.modules() if hasattr(m, "merge"))
    expected = product.product.value().detach().clone()
    before: list[Tensor] = []
    distances: list[Tensor] = []

    def remember(model: nn.Module) -> None:
        before.extend(weight.weight.detach().clone() for weight in inner_weights(model))
        distances.extend(StatsQ.distance(w.grid, w.weight.detach()) for w in inner_weights(model))  # type: ignore[arg-type]

    original = ofq.optimizer
    object.__setattr__(ofq, "optimizer", lambda model: remember(model) or original(model))
    ofq._anneal(lesson, steps)
    assert any(w.shape == expected.shape and torch.allclose(w, expected) for w in before)
    return before, [weight.weight.detach() for weight in inner_weights(lesson.model)], distances


def test_with_no_boundary_annealing_moves_no_weight() -> None:
    before, after, _ = annealed(0.0)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_with_a_boundary_of_one_step_it_is_ordinary_training() -> None:
    before, after, _ = annealed(1.0, steps=1)
    assert all(((a != b).float().mean() > 0.9) for a, b in zip(before, after, strict=True))


def test_only_weights_near_a_threshold_move() -> None:
    before, after, distances = annealed(0.1, steps=1)
    moved = 0
    for a, b, distance in zip(before, after, distances, strict=True):
        assert torch.equal(a[distance > 0.1], b[distance > 0.1])
        moved += int((a != b).sum())
    assert moved > 0


def test_a_weight_that_turns_back_oscillates() -> None:
    latent = Latent(torch.tensor([[1.0, -1.0, 0.3, 0.3]]), StatsQ(2))
    monitor = OscillationMonitor([latent])

    def step(*values: float) -> float:
        with torch.no_grad():
            latent.weight.copy_(torch.tensor([[1.0, -1.0, *values]]))
        monitor.step()
        return monitor.share(last=1e-9)

    assert step(0.9, 0.3) == 0.0  # a first change turns nowhere
    assert step(0.9, 0.3) == 0.0
    assert step(0.3, 0.3) == 0.25
    assert step(0.3, 0.9) == 0.25  # remembered, and another changes for the first time
    assert step(0.3, 0.3) == 0.5


def test_a_frequency_fades_by_a_hundredth_a_step() -> None:
    latent = Latent(torch.tensor([[1.0, -1.0, 0.3, 0.3]]), StatsQ(2))
    monitor = OscillationMonitor([latent])
    for value in (0.9, 0.3, *[0.3] * 80):
        with torch.no_grad():
            latent.weight[0, 2] = value
        monitor.step()
    shares = monitor._shares
    assert (shares[0], shares[1], shares[69], shares[-1]) == (0.0, 0.25, 0.25, 0.0)


def test_schedule_warms_up_and_follows_a_cosine() -> None:
    rate = Schedule(steps=60, peak=1.0, floor=0.1, start=0.01, warm_up=1 / 6)
    assert rate(0) == 0.01 and rate(10) == 1.0
    assert rate(35) == pytest.approx(0.55) and rate(60) == pytest.approx(0.1)


@pytest.mark.parametrize("make", [tiny_transformer, tiny_distilled])
def test_labels_and_teacher_have_a_head_each_where_there_are_two(make: Any) -> None:
    model, teacher = make(), make()
    batch = torch.randn(4, 3, 8, 8), torch.tensor([0, 1, 2, 0])
    distillation(model, teacher, 1.0)(*batch)
    output = model(batch[0])
    hard, soft = output.get("cls_logits", output.logits), output.get("distillation_logits", output.logits)
    target = teacher(batch[0]).logits.softmax(-1).detach()
    expected = nn.functional.cross_entropy(hard, batch[1]) + nn.functional.cross_entropy(soft, target)
    found = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    expected.backward()
    again = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(found, again, strict=True))


def test_equal_seeds_see_equal_batches_whatever_the_method() -> None:
    training = tiny_training(epochs=2)
    lessons = [Lesson(each, tiny_transformer(), each.design, training) for each in (Ofq(), LsqVision())]
    for (first, a), (second, b) in zip(lessons[0].batches, lessons[1].batches, strict=True):
        assert torch.equal(first, second) and torch.equal(a, b)
