"""Structured random pruning."""

from __future__ import annotations

import torch
from tests.compress.prune.reference import same_weights
from tests.compress.prune.test_flap import MODELS

from etude.compress.prune import MagnitudeSP, RandomSP
from etude.models.structure import find_sites


def test_the_draw_decides_and_only_the_draw() -> None:
    one, same, other, magnitude = (MODELS["grouped"]() for _ in range(4))
    for model, seed in ((one, 0), (same, 0), (other, 1)):
        torch.manual_seed(seed)
        RandomSP(ratio=0.4).prune(model)
    MagnitudeSP(ratio=0.4).prune(magnitude)
    assert same_weights(one, same)
    assert not same_weights(one, other)
    assert [site.units for site in find_sites(one)] == [site.units for site in find_sites(magnitude)]
