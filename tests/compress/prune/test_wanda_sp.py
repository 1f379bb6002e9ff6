"""Structured Wanda against the same rule put down plainly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.compress.prune.reference import calibration, same_weights
from tests.compress.prune.test_flap import MODELS, read_by_outputs
from tests.compress.prune.test_units import blocks_of
from tests.models.test_structure import generated
from tests.models.zoo import same
from torch import Tensor
from transformers import AutoModelForCausalLM

from etude import models
from etude.compress.prune import WandaSP
from etude.compress.prune.units import equal_counts
from etude.errors import InputError
from etude.models.structure import Site, find_sites
from etude.testing import check_method


def by_hand(model: Any, part: dict[str, Tensor], ratio: float, feed: str) -> None:
    """Measure a dense block behind masked ones ("block"), or everything behind what is masked ("linear")."""
    sites, lost = equal_counts(model, ratio)

    def lowest(site: Site) -> Tensor:
        x = read_by_outputs(model, sites, part)[site]
        score = (site.output.weight.double().abs() * x.norm(dim=0)).mean(0)
        order = score.view(site.units, -1).sum(1).argsort()
        return torch.isin(torch.arange(site.units), order[: lost[site.kind]])

    removed: dict[Site, Tensor] = {}
    for attention, mlp in zip(sites[::2], sites[1::2], strict=True):
        removed[attention] = lowest(attention)
        removed[mlp] = lowest(mlp)
        attention.mask(removed[attention])
        if feed == "linear":
            removed[mlp] = lowest(mlp)
        mlp.mask(removed[mlp])
    for site, units in removed.items():
        site.cut(units)


@pytest.mark.parametrize("padding", [False, True])
@pytest.mark.parametrize("feed", ["block", "linear"])
@pytest.mark.parametrize("name", ["grouped", "a key for each query", "opt"])
def test_the_rule(name: str, feed: Any, padding: bool) -> None:
    pruned, expected = MODELS[name](), MODELS[name]()
    WandaSP(ratio=0.45, feed=feed).prune(pruned, calibration(padding))
    by_hand(expected, calibration(padding), 0.45, feed)
    assert same_weights(pruned, expected)


@pytest.mark.parametrize("name", ["grouped", "a key for each query", "biases", "qwen2"])
@pytest.mark.parametrize("ratio", [0.1, 0.3, 0.6])
def test_the_result_is_a_stock_checkpoint(name: str, ratio: float, tmp_path: Path) -> None:
    model = MODELS[name]()
    before, blocks = blocks_of(model), model.config.num_hidden_layers
    WandaSP(ratio=ratio).prune(model, calibration())
    assert abs(blocks_of(model) - (1 - ratio) * before) <= blocks * 3 * 32 / 2
    assert torch.equal(*(generated(model, use_cache=cache) for cache in (True, False)))
    models.save(model, None, tmp_path / "pruned")
    assert not (tmp_path / "pruned" / "etude.json").exists()
    stock = AutoModelForCausalLM.from_pretrained(tmp_path / "pruned", dtype=torch.float32)
    assert same(stock.eval(), model)


def test_weights_that_stay_are_untouched() -> None:
    model = MODELS["grouped"]()
    WandaSP(ratio=0.3).prune(model, calibration())
    for site, whole in zip(find_sites(model), find_sites(MODELS["grouped"]()), strict=True):
        rows = {tuple(row.tolist()) for row in whole.sources[-1].weight}
        assert all(tuple(row.tolist()) in rows for row in site.sources[-1].weight)
        assert site.output.bias is None


def test_too_much_is_refused_before_any_work() -> None:
    model = MODELS["grouped"]()
    with pytest.raises(InputError, match=r"^ratio: 0.95 is too high"):
        WandaSP(ratio=0.95).prune(model, calibration())
    assert same_weights(model, MODELS["grouped"]())


def test_passes_what_every_method_must() -> None:
    check_method(WandaSP, feed="block", ratio=0.5)
