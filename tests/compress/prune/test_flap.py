"""FLAP against its equations put down plainly, and the identities of its paper."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compress.prune.reference import calibration, same_weights
from tests.compress.prune.test_units import blocks_of
from tests.models import zoo
from tests.models.test_structure import decoder, generated
from tests.models.zoo import llama, outputs, same
from torch import Tensor
from transformers import AutoModelForCausalLM

from etude import models
from etude.compress.prune import FLAP, WandaSP
from etude.compress.prune.flap import METRICS, standardise
from etude.errors import InputError
from etude.models.blocks import Linear
from etude.models.stats import Moments
from etude.models.structure import Site, find_sites
from etude.testing import check_method

MODELS = {
    "grouped": lambda: llama(num_hidden_layers=4),
    "a key for each query": lambda: llama(num_hidden_layers=4, num_key_value_heads=4),
    "biases": lambda: llama(num_hidden_layers=4, attention_bias=True, mlp_bias=True),
    "qwen2": lambda: decoder("Qwen2", num_key_value_heads=2),
    "opt": zoo.opt,
    "bert": zoo.bert,
}


@torch.no_grad()
def read_by_outputs(model: Any, sites: list[Site], part: dict[str, Tensor]) -> dict[Site, Tensor]:
    """What enters the output of every site, ``[tokens, features]``, padding left out."""
    heard: dict[Site, Tensor] = {}
    real = part["attention_mask"].bool().flatten()
    handles = [
        site.output.module.register_forward_pre_hook(
            lambda _, args, site=site: heard.__setitem__(site, _rows(args[0])[real].double())
        )
        for site in sites
    ]
    model(**part)
    for handle in handles:
        handle.remove()
    return heard


def _rows(x: Tensor) -> Tensor:
    return x.reshape(-1, x.shape[-1])


def scores_by_hand(
    model: Any, part: dict[str, Tensor], metric: str = "WIFV", square: bool = True
) -> dict[Site, Tensor]:
    """The score of every unit."""
    sites = find_sites(model)
    scores = {}
    for site, x in read_by_outputs(model, sites, part).items():
        weight = site.output.weight.double()
        raw = {
            "WIFV": x.var(0) * weight.norm(dim=0) ** 2,
            "IFV": x.var(0),
            "WIFN": (weight.abs() * x.norm(dim=0)).mean(0),
        }[metric]
        raw = raw**2 if square and site.kind == "attention" else raw
        scores[site] = ((raw - raw.mean()) / raw.std()).view(site.units, -1).mean(1)
    return scores


def removed_by(method: FLAP, model: Any, part: dict[str, Tensor]) -> list[list[int]]:
    """The units that a method removes, site by site, told from the weights of the sources."""
    found = []
    before = [site.sources[0].weight.clone() for site in find_sites(model)]
    units = [site.units for site in find_sites(model)]
    method.prune(model, part)
    for weight, count, site in zip(before, units, find_sites(model), strict=True):
        kept = {
            tuple(rows.flatten().tolist())
            for rows in site.sources[0].weight.view(site.units, -1, weight.shape[1])
        }
        runs = weight.view(count, -1, weight.shape[1])
        found.append([unit for unit in range(count) if tuple(runs[unit].flatten().tolist()) not in kept])
    return found


@pytest.mark.parametrize("padding", [False, True])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("square", [True, False])
def test_the_search_of_the_paper(metric: Any, square: bool, padding: bool) -> None:
    """Cumulate costs from the highest score down, until what is kept is nearest to the budget."""
    model, part = MODELS["a key for each query"](), calibration(padding)
    scores = scores_by_hand(model, part, metric, square)
    pool = sorted(
        ((float(value), site, unit) for site, values in scores.items() for unit, value in enumerate(values)),
        key=lambda entry: -entry[0],
    )
    kept, best, goal = (
        0.0,
        (torch.inf, 0),
        0.7 * blocks_of(model) - (blocks_of(model) - sum(s.cost * s.units for s in scores)),
    )
    for count, (_, site, _) in enumerate(pool):
        kept += site.cost
        best = min(best, (abs(kept - goal), count + 1))
    expected = [sorted(unit for _, other, unit in pool[best[1] :] if other is site) for site in scores]
    method = FLAP(ratio=0.3, metric=metric, square_attn=square, bias=False)
    assert removed_by(method, model, part) == expected


def test_structures_differ_in_where_units_go() -> None:
    part, lost = calibration(), {}
    for structure in ("AL-AM", "AL-MM", "UL-MM", "UL-UM"):
        model = MODELS["a key for each query"]()
        groups = 8 if structure.endswith("MM") else None
        FLAP(ratio=0.4, structure=structure, groups=groups, bias=False).prune(model, part)  # type: ignore[arg-type]
        sites = find_sites(model)
        lost[structure] = (
            [4 - x.units for x in sites if x.kind == "attention"],
            [48 - x.units for x in sites if x.kind == "mlp"],
        )
    assert sum(lost["AL-MM"][0]) == 8
    assert lost["UL-MM"][0] == [2, 2, 2, 2]
    assert len(set(lost["UL-MM"][1])) == len(set(lost["UL-UM"][1])) == 1
    assert len(set(lost["AL-AM"][1])) > 1


def test_the_same_share_in_every_layer_may_be_no_stock_number() -> None:
    heads = {}
    for stock in (True, False):
        model = MODELS["a key for each query"]()
        FLAP(ratio=0.25, structure="UL-UM", stock=stock).prune(model, calibration())
        heads[stock] = {site.units for site in find_sites(model) if site.kind == "attention"}
    assert heads == {True: {4}, False: {3}}  # 3 heads do not divide 32 features


def test_fixed_heads_follow_the_budget_formula() -> None:
    """n_channels = (p L (3 d d_ff + 4 d^2) - 4 d d_h heads) / (3 d), up to norms and rounding."""
    model = MODELS["a key for each query"]()
    FLAP(ratio=0.4, structure="AL-MM", groups=5, bias=False).prune(model, calibration())
    sites = find_sites(model)
    blocks, d, wide = 4, 32, 48
    norms = 0.4 * 2 * d * blocks
    channels = (0.4 * blocks * (3 * d * wide + 4 * d * d) + norms - 4 * d * 8 * 5) / (3 * d)
    assert sum(wide - site.units for site in sites if site.kind == "mlp") == round(channels)


@settings(max_examples=25, deadline=None)
@given(
    ratio=st.floats(0, 0.75),
    name=st.sampled_from(["grouped", "a key for each query", "biases", "qwen2"]),
    bias=st.booleans(),
    structure=st.sampled_from(["AL-AM", "AL-MM"]),
)
def test_the_budget_is_met_to_within_one_unit(ratio: float, name: str, bias: bool, structure: Any) -> None:
    model = MODELS[name]()
    unit, before = max(site.cost for site in find_sites(model)), blocks_of(model)
    FLAP(ratio=ratio, bias=bias, structure=structure).prune(model, calibration())
    assert abs(blocks_of(model) - (1 - ratio) * before) <= unit


@pytest.mark.parametrize("structure", ["UL-UM", "UL-MM"])
@pytest.mark.parametrize("ratio", [0.1, 0.25, 0.5])
def test_uniform_budgets_are_met_to_within_half_a_channel_a_layer(ratio: float, structure: Any) -> None:
    model = MODELS["grouped"]()
    before = blocks_of(model)
    FLAP(ratio=ratio, structure=structure).prune(model, calibration())
    assert abs(blocks_of(model) - (1 - ratio) * before) <= 4 * 3 * 32 / 2


@pytest.mark.parametrize("structure", ["AL-AM", "AL-MM", "UL-MM", "UL-UM"])
def test_nothing_asked_nothing_changed(structure: Any) -> None:
    model = MODELS["grouped"]()
    FLAP(ratio=0, structure=structure).prune(model, calibration())
    assert same_weights(model, MODELS["grouped"]())
    assert all(site.output.bias is None for site in find_sites(model))


@pytest.mark.parametrize("name", MODELS)
def test_pruned_is_masked_with_the_same_bias(name: str) -> None:
    """Zero the columns and add ``W[:, removed] @ mean`` instead of cutting."""
    part, pruned, masked = calibration(padding=True), MODELS[name](), MODELS[name]()
    sites = find_sites(masked)
    means = {site: x.mean(0).float() for site, x in read_by_outputs(masked, sites, part).items()}
    removed = removed_by(FLAP(ratio=0.4), pruned, part)
    with torch.no_grad():
        for site, units in zip(sites, removed, strict=True):
            gone = torch.isin(torch.arange(site.units), torch.tensor(units, dtype=torch.long))
            columns = gone.repeat_interleave(site.output.weight.shape[1] // site.units)
            constant = site.output.weight[:, columns] @ means[site][columns]
            bias = site.output.bias
            site.output.module.bias = torch.nn.Parameter(constant if bias is None else bias + constant)
            site.mask(gone)
    assert torch.allclose(outputs(pruned), outputs(masked), atol=1e-5)


def test_constant_channels_score_nothing_and_cost_nothing() -> None:
    model = llama(mlp_bias=True)
    constant = torch.arange(48) % 5 == 0
    for layer in model.model.layers:
        layer.mlp.gate_proj.weight.data[constant] = 0
        layer.mlp.up_proj.weight.data[constant] = 0
    part = calibration()
    with torch.no_grad():
        expected = model(**part).logits
    sites = [site for site in find_sites(model) if site.kind == "mlp"]
    for site, x in read_by_outputs(model, sites, part).items():
        moments = Moments(48)
        moments.update(x.float(), segments=1)
        score = METRICS["WIFV"](site.output.weight, moments)
        assert (score[constant] < 1e-12).all() and (score[~constant] > 1e-12).all()
        site.cut(constant, moments.mean())
    with torch.no_grad():
        assert torch.allclose(model(**part).logits, expected, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 40), st.integers(1, 5), st.integers(1, 6), st.integers(0, 2**31 - 1))
def test_the_score_is_the_error_of_the_output(tokens: int, features: int, out: int, seed: int) -> None:
    """Replace one input by its mean: the mean squared error of the output is ``Var_j ||W_:,j||^2``."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(tokens, features, generator=draw) * 3 + torch.randn(features, generator=draw)
    layer = torch.nn.Linear(features, out, bias=False)
    layer.weight.data = torch.randn(out, features, generator=draw)
    moments = Moments(features)
    moments.update(x, segments=1)
    scores = METRICS["WIFV"](Linear("", layer).weight, moments) * (tokens - 1) / tokens
    for j in range(features):
        without = x.clone()
        without[:, j] = x[:, j].mean()
        with torch.no_grad():
            error = (layer(x) - layer(without)).square().sum(1).mean()
        assert torch.allclose(scores[j], error, rtol=1e-3, atol=1e-5)


def test_the_first_segment_counts() -> None:
    """The authors' running variance skips it: 0, 4 and then 2, 2 pass for a channel that never moves."""
    moments = Moments(1)
    for segment in ([0.0, 4.0], [2.0, 2.0]):
        moments.update(torch.tensor(segment)[:, None], segments=1)
    assert METRICS["IFV"](torch.ones(1, 1), moments).item() == pytest.approx(8 / 3)


@pytest.mark.parametrize("name", ["grouped", "a key for each query"])
@pytest.mark.parametrize("ratio", [0.2, 0.4])
def test_norms_spread_evenly_without_bias_are_wanda_sp(name: str, ratio: float) -> None:
    one, other = MODELS[name](), MODELS[name]()
    FLAP(ratio=ratio, metric="WIFN", structure="UL-UM", bias=False).prune(one, calibration())
    WandaSP(ratio=ratio, feed="dense").prune(other, calibration())
    assert same_weights(one, other)


@pytest.mark.parametrize("name", ["grouped", "opt"])
def test_the_bias_lowers_the_error(name: str) -> None:
    """Over the calibration tokens, the output of every layer comes nearer to that of the dense layer."""
    error: dict[bool, list[float]] = {True: [], False: []}
    for bias, errors in error.items():
        model = MODELS[name]()
        sites = find_sites(model)
        for site, x in read_by_outputs(model, sites, calibration()).items():
            gone = torch.arange(site.units) % 3 == 0
            kept = ~gone.repeat_interleave(x.shape[1] // site.units)
            dense = site.output.module(x.float())
            site.cut(gone, x.mean(0).float() if bias else None)
            errors.append(float((site.output.module(x[:, kept].float()) - dense).detach().square().sum()))
    assert all(one < other for one, other in zip(error[True], error[False], strict=True))


def test_equal_scores_are_standardised_to_zero() -> None:
    assert standardise(torch.full((4,), 3.0)).tolist() == [0, 0, 0, 0]
    assert standardise(torch.tensor([7.0])).tolist() == [0]
    assert torch.allclose(standardise(torch.tensor([1.0, 2.0, 3.0])), torch.tensor([-1.0, 0.0, 1.0]))


@pytest.mark.parametrize("name", ["grouped", "qwen2"])
def test_heads_may_all_go_and_generation_goes_on(name: str) -> None:
    model = MODELS[name]()
    FLAP(ratio=0.85).prune(model, calibration())
    left = {site.block: site.units for site in find_sites(model) if site.kind == "attention"}
    assert left[0] >= 1
    assert len(left) < model.config.num_hidden_layers
    assert torch.equal(*(generated(model, use_cache=cache) for cache in (True, False)))


def test_groups_that_every_layer_keeps() -> None:
    model = MODELS["grouped"]()
    FLAP(ratio=0.75, min_groups=1).prune(model, calibration())
    assert min(site.units for site in find_sites(model) if site.kind == "attention") == 1
    with pytest.raises(InputError, match=r"^ratio: "):
        FLAP(ratio=0.85, min_groups=2).prune(MODELS["grouped"](), calibration())


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("ratio", [0.3, 0.8])
def test_different_widths_come_back_to_the_last_bit(name: str, ratio: float, tmp_path: Path) -> None:
    model = MODELS[name]()
    FLAP(ratio=ratio).prune(model, calibration())
    models.save(model, None, tmp_path / "pruned")
    assert (tmp_path / "pruned" / "etude.json").exists()
    assert same(models.load(tmp_path / "pruned")[0], model)


@pytest.mark.parametrize(
    ("name", "bias"), [("grouped", True), ("a key for each query", True), ("biases", True), ("qwen2", False)]
)
@pytest.mark.parametrize("ratio", [0.3, 0.5])
def test_equal_widths_are_a_stock_checkpoint(name: str, bias: bool, ratio: float, tmp_path: Path) -> None:
    model = MODELS[name]()
    FLAP(ratio=ratio, structure="UL-UM", bias=bias).prune(model, calibration())
    models.save(model, None, tmp_path / "pruned")
    assert not (tmp_path / "pruned" / "etude.json").exists()
    stock = AutoModelForCausalLM.from_pretrained(tmp_path / "pruned", dtype=torch.float32)
    assert same(stock.eval(), model)


@pytest.mark.slow
@pytest.mark.parametrize("structure", ["AL-AM", "UL-UM"])
def test_a_real_model(structure: Any, tmp_path: Path) -> None:
    model, tokenizer = models.load("smollm2")
    part = dict(
        tokenizer(
            ["The sea was calm that night, and the old man went down to his boat."] * 4, return_tensors="pt"
        )
    )
    unit, before = max(site.cost for site in find_sites(model)), blocks_of(model)
    FLAP(ratio=0.2, structure=structure).prune(model, part)
    assert abs(blocks_of(model) - 0.8 * before) <= unit
    assert torch.equal(*(generated(model, use_cache=cache) for cache in (True, False)))
    models.save(model, tokenizer, tmp_path / "pruned")
    assert (tmp_path / "pruned" / "etude.json").exists() is (structure == "AL-AM")
    assert same(models.load(tmp_path / "pruned")[0], model)


def test_what_does_not_fit_is_refused_before_any_work() -> None:
    model = MODELS["grouped"]()
    with pytest.raises(InputError, match=r"^groups: is for the structures"):
        FLAP(groups=2)
    for method, field in [
        (FLAP(ratio=0.95), "ratio"),
        (FLAP(ratio=0.5, structure="UL-MM", groups=3), "groups"),
        (FLAP(ratio=0.9, structure="AL-MM", groups=8), "groups"),
        (FLAP(ratio=0.05, structure="AL-MM", groups=6), "groups"),
    ]:
        with pytest.raises(InputError, match=f"^{field}: "):
            method.check(model)
        with pytest.raises(InputError, match=f"^{field}: "):
            method.prune(model, calibration())
    assert same_weights(model, MODELS["grouped"]())


def test_a_model_that_is_not_finite_is_refused() -> None:
    model = MODELS["grouped"]()
    model.model.layers[0].mlp.up_proj.weight.data[0, 0] = torch.nan
    with pytest.raises(InputError, match="not finite"):
        FLAP().prune(model, calibration())


@pytest.mark.parametrize("settings", [{}, {"structure": "UL-UM"}, {"metric": "IFV", "bias": False}])
def test_passes_what_every_method_must(settings: dict[str, Any]) -> None:
    check_method(FLAP, **settings)
