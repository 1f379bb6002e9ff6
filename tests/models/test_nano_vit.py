"""nano-vit: what its card says of it, and the batches of its recipe."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import Tensor

from etude import models
from etude.data import images
from etude.data.sets import find_folder
from etude.models.images import preprocessing
from etude.models.loading import locate
from etude.models.recipes import nano_vit


@pytest.fixture(scope="module")
def figures() -> Any:
    return json.loads((locate("nano-vit") / "figures.json").read_text())


def test_transformers_loads_what_we_load(figures: Any) -> None:
    from transformers import ViTForImageClassification

    ours, tokenizer = models.load("nano-vit")
    theirs = ViTForImageClassification.from_pretrained(locate("nano-vit"), dtype=torch.float32)
    pixels = torch.randn(2, 3, 32, 32)
    assert tokenizer is None and ours.num_parameters() == figures["parameters"]
    assert torch.equal(ours(pixels).logits, theirs(pixels).logits)


@pytest.mark.skipif(find_folder("cifar10_subset") is None, reason="cifar10_subset is not on this machine")
def test_its_accuracy_is_that_of_its_card(figures: Any) -> None:
    model, _ = models.load("nano-vit")
    test = images.load("cifar10_subset", "test", side=nano_vit.SIDE)
    found = nano_vit.accuracy(model, test, preprocessing(locate("nano-vit"), model))
    assert found == pytest.approx(figures["accuracy"]["test"], abs=0.2)


def batch(seed: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (20, 3, 32, 32), generator=draw, dtype=torch.uint8)
    data = images.Images(pixels, torch.arange(20) % 4, ("a", "b", "c", "d"))
    return next(nano_vit.batches(data, 1, torch.Generator().manual_seed(seed)))


def test_mixed_labels_are_probabilities_and_seeds_decide() -> None:
    for seed in range(4):
        pixels, targets = batch(seed)
        assert torch.allclose(targets.sum(1), torch.ones(nano_vit.BATCH)) and (targets >= 0).all()
        assert torch.equal(pixels, batch(seed)[0])


def test_learning_rate_warms_up_and_falls_to_a_hundredth() -> None:
    peak = nano_vit.PEAK_LEARNING_RATE
    assert nano_vit.learning_rate(nano_vit.WARM_UP, 8000) == peak
    assert nano_vit.learning_rate(8000, 8000) == pytest.approx(peak / 100)
