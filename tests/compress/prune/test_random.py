"""Random pruning."""

from __future__ import annotations

from typing import Any

import pytest
from tests.compress.prune.reference import MODELS, same_weights, survivors_are_untouched, weights
from tests.models import zoo

from etude.compress.prune import Random
from etude.seeds import seeded
from etude.testing import check_method


@pytest.mark.parametrize("name", MODELS)
def test_exact_counts_and_untouched_survivors(name: str) -> None:
    model = MODELS[name]()
    Random(sparsity=0.3).prune(model)
    for weight in weights(model).values():
        assert ((weight == 0).sum(1) == int(weight.shape[1] * 0.3)).all()
    assert survivors_are_untouched(model, MODELS[name]())


def test_another_seed_removes_others() -> None:
    models = []
    for seed in (0, 0, 1):
        models.append(zoo.llama())
        with seeded(seed):
            Random().prune(models[-1])
    assert same_weights(models[0], models[1])
    assert not same_weights(models[0], models[2])


@pytest.mark.parametrize("settings", [{"pattern": "2:4"}])
def test_variants_pass_what_every_method_must(settings: dict[str, Any]) -> None:
    check_method(Random, **settings)
