"""LLM-Pruner's importance against gradients from autograd, and where it prunes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.compress.prune.reference import calibration, same_weights
from tests.compress.prune.test_flap import MODELS
from tests.compress.prune.test_units import blocks_of
from tests.models.zoo import llama, same
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from etude import models
from etude.compress.prune import LLMPruner
from etude.compress.prune.llm_pruner import REDUCTIONS, SALIENCES, mean_gradients
from etude.errors import InputError
from etude.models.structure import Site, find_sites
from etude.testing import check_method


def gradients_by_hand(model: Any, part: dict[str, Tensor]) -> dict[nn.Module, tuple[Tensor, Tensor]]:
    """Mean and mean square, over segments, of every linear layer's gradient."""
    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    found: dict[nn.Module, list[Tensor]] = {module: [] for module in layers}
    for ids, mask in zip(part["input_ids"], part["attention_mask"], strict=True):
        model.zero_grad()
        labels = ids.masked_fill(mask == 0, -100)
        model(input_ids=ids[None], attention_mask=mask[None], labels=labels[None]).loss.backward()
        for module in layers:
            found[module].append(module.weight.grad.double())
    stacked = {module: torch.stack(values) for module, values in found.items()}
    return {module: (values.mean(0), values.square().mean(0)) for module, values in stacked.items()}


def importance_by_hand(site: Site, gradients: Any, taylor: str, reduction: str) -> list[float]:
    """One unit after the other, one channel after the other."""
    layers = [(layer, 0) for layer in site.sources] + [(site.output, 1)]
    narrow = min(layer.weight.shape[axis] // site.units for layer, axis in layers)
    scores = []
    for unit in range(site.units):
        total = 0.0
        for channel in range(narrow):
            members = []
            for layer, axis in layers:
                width = layer.weight.shape[axis] // site.units
                member = 0.0
                for index in range(unit * width + channel, (unit + 1) * width, narrow):
                    w, g, f = (
                        x.select(axis, index).double() for x in (layer.weight, *gradients[layer.module])
                    )
                    member += {
                        "vectorize": (w * g).sum().abs(),
                        "param_first": (w * g).abs().sum(),
                        "param_second": (w * f * w).abs().sum(),
                        "param_mix": (w * g - w * f * w / 2).abs().sum(),
                    }[taylor]
                members.append(member)
            x = torch.stack(members)
            total += {"sum": x.sum(), "mean": x.mean(), "max": x.max(), "prod": x.prod(), "first": x[0]}[
                reduction
            ]
        scores.append(float(total))
    return scores


@pytest.mark.parametrize("name", ["grouped", "opt"])
@pytest.mark.parametrize("taylor", SALIENCES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_importance(name: str, taylor: Any, reduction: Any) -> None:
    model, part = MODELS[name](), calibration(padding=True)
    site_pair = find_sites(model)[:2]
    exact = gradients_by_hand(model, part)
    seen = []
    squares = taylor in ("param_second", "param_mix")
    for site, gradients in mean_gradients(model, part, site_pair, squares):
        seen.append(site)
        found = LLMPruner(taylor=taylor, reduction=reduction).importance(site, gradients)
        expected = torch.tensor(importance_by_hand(site, exact, taylor, reduction))
        assert torch.allclose(found, expected, rtol=1e-3, atol=float(expected.max()) * 1e-4)
    assert seen == site_pair


@pytest.mark.parametrize("taylor", SALIENCES)
def test_the_first_and_last_layers_are_kept_whole(taylor: Any) -> None:
    model = llama(num_hidden_layers=9, num_key_value_heads=4)
    before = blocks_of(model)
    LLMPruner(ratio=0.3, taylor=taylor).prune(model, calibration())
    sites = find_sites(model)
    whole = {site.block for site in sites if site.kind == "mlp" and site.units == 48}
    assert whole == {0, 1, 8}  # an eighth and a sixteenth, rounded up
    assert {site.units for site in sites if site.kind == "attention" and site.block in whole} == {4}
    assert len({site.units for site in sites if site.block not in whole and site.kind == "mlp"}) == 1
    assert abs(blocks_of(model) - 0.7 * before) <= 6 * 3 * 32 / 2


def test_the_lowest_go() -> None:
    model, whole = MODELS["grouped"](), MODELS["grouped"]()
    method, part = LLMPruner(ratio=0.3, uniform=True), calibration()
    method.prune(model, part)
    sites = find_sites(whole)
    scores = {
        site: method.importance(site, found) for site, found in mean_gradients(whole, part, sites, True)
    }
    for site, after in zip(sites, find_sites(model), strict=True):
        kept = scores[site].argsort(descending=True)[: after.units].sort().values
        rows = site.sources[0].weight.view(site.units, -1, 32)[kept].flatten(0, 1)
        assert torch.equal(after.sources[0].weight, rows)


def test_only_so_many_samples_are_looked_at() -> None:
    few, all_of_few, more = (MODELS["grouped"]() for _ in range(3))
    part = calibration()
    LLMPruner(ratio=0.3, gradient_samples=2).prune(few, part)
    LLMPruner(ratio=0.3).prune(all_of_few, {name: values[:2] for name, values in part.items()})
    LLMPruner(ratio=0.3).prune(more, part)
    assert same_weights(few, all_of_few)
    assert not same_weights(few, more)


@pytest.mark.parametrize("uniform", [True, False])
def test_checkpoints(uniform: bool, tmp_path: Path) -> None:
    model = MODELS["grouped"]()
    LLMPruner(ratio=0.3, uniform=uniform).prune(model, calibration())
    models.save(model, None, tmp_path / "pruned")
    assert same(models.load(tmp_path / "pruned")[0], model)
    assert (tmp_path / "pruned" / "etude.json").exists() is not uniform
    if uniform:
        assert same(
            AutoModelForCausalLM.from_pretrained(tmp_path / "pruned", dtype=torch.float32).eval(), model
        )


def test_what_does_not_fit_is_refused_before_any_work() -> None:
    model = MODELS["grouped"]()
    with pytest.raises(InputError, match=r"^ratio: 0.8 is too high"):
        LLMPruner(ratio=0.8).check(model)
    with pytest.raises(InputError, match=r"^model: .* predicts no next token"):
        LLMPruner().check(MODELS["bert"]())
    assert same_weights(model, MODELS["grouped"]())


@pytest.mark.parametrize("settings", [{"uniform": True, "taylor": "vectorize"}, {"reduction": "prod"}])
def test_passes_what_every_method_must(settings: dict[str, Any]) -> None:
    check_method(LLMPruner, **settings)
