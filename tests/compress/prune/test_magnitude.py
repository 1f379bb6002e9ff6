"""Magnitude pruning."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.compress.prune import reference
from tests.compress.prune.reference import MODELS, survivors_are_untouched, weights
from tests.models import zoo

from etude.compress.prune import Magnitude
from etude.errors import InputError
from etude.testing import check_method


@pytest.mark.parametrize("name", [*MODELS, "bert masked", "t5 encoder", "vit"])
@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.9])
def test_the_smallest_of_each_matrix_go(name: str, sparsity: float) -> None:
    model, dense = zoo.ZOO[name](), zoo.ZOO[name]()
    Magnitude(sparsity=sparsity).prune(model)
    for pruned, weight in zip(weights(model).values(), weights(dense).values(), strict=True):
        zeros = pruned == 0
        assert zeros.sum() == int(weight.numel() * sparsity)
        assert weight[zeros].abs().max() <= weight[~zeros].abs().min()
    assert survivors_are_untouched(model, dense)


def test_within_rows_and_n_of_m() -> None:
    dense, by_row, patterned = zoo.llama(), zoo.llama(), zoo.llama()
    Magnitude(sparsity=0.3, within="row").prune(by_row)
    Magnitude(pattern="2:4").prune(patterned)
    for name, weight in weights(dense).items():
        assert torch.equal(weights(by_row)[name] == 0, reference.lowest_of_rows(weight.abs(), 0.3))
        assert torch.equal(weights(patterned)[name] == 0, reference.lowest_of_groups(weight.abs(), 2, 4))


def test_equal_weights_go_from_the_left() -> None:
    """A threshold would remove all of them."""
    model = zoo.llama()
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight.fill_(0.5)
    Magnitude(sparsity=0.25).prune(model)
    weight = model.model.layers[0].mlp.up_proj.weight.flatten()
    assert not weight[: len(weight) // 4].any()
    assert weight[len(weight) // 4 :].all()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match=r"sparsity: pattern 2:4 removes 0\.5"):
        Magnitude(sparsity=0.6, pattern="2:4")
    with pytest.raises(InputError, match="pattern: 1:5"):
        Magnitude(sparsity=0.8, pattern="1:5").prune(zoo.llama())


@pytest.mark.parametrize("settings", [{"pattern": "2:4"}, {"within": "row"}])
def test_variants_pass_what_every_method_must(settings: dict[str, Any]) -> None:
    check_method(Magnitude, **settings)
