"""AWQ: its identities, and that its searches find what is least."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import GPT2LMHeadModel

from etude import models
from etude.compress.quantize import Awq, Rtn, Salient, formats
from etude.compress.quantize.activations import Activations, FirstCalls, narrow
from etude.compress.quantize.awq import QUERIES_AND_KEYS, Trials
from etude.compress.quantize.folding import find_folds
from etude.compress.quantize.grids import Integers, joined, split
from etude.compress.quantize.searches import least_clipping, least_point
from etude.errors import InputError
from etude.models.blocks import block_linears, find_blocks

from .models import correlated, gpt2, llama, logits, opt, random, tokens
from .test_folding import first_call

PLAIN = {"bits": 3, "group": 16, "scales": "float32"}


def outliers(model: Any) -> Any:
    """Plant outlier channels in front of the linear layers; the model computes the same."""
    for block in model.model.layers:
        for norm, names in (
            (block.input_layernorm, ("q_proj", "k_proj", "v_proj")),
            (block.post_attention_layernorm, ("gate_proj", "up_proj")),
        ):
            norm.weight.data[::11] *= 20
            for name, module in block.named_modules():
                if name.endswith(names):
                    module.weight.data[:, ::11] /= 20
    return model


def test_no_scaling_and_no_clipping_is_rounding() -> None:
    """With one point, a = 0: bit for bit."""
    ours, plain = llama(), llama()
    Awq(points=1, clip=False, **PLAIN).quantize(ours, tokens())
    Rtn(convention="awq", **PLAIN).quantize(plain)
    for one, other in zip(block_linears(ours), block_linears(plain), strict=True):
        assert torch.equal(one.weight, other.weight)


@pytest.mark.parametrize("make", [llama, lambda: llama(4), gpt2, opt])
def test_at_8_bits_it_hardly_changes_the_model(make: Any) -> None:
    model = make()
    before = logits(model)
    stored = Awq(bits=8, group=16).quantize(model, tokens())
    assert (logits(model) - before).norm() < 0.05 * before.norm()
    assert stored.keys() == {linear.name for linear in block_linears(model)}
    for linear in block_linears(model):
        assert torch.equal(stored[linear.name].weight(), linear.weight)


def test_beats_rounding_where_channels_stand_out() -> None:
    dense = outliers(llama())
    expected = logits(dense)
    ours, plain, clipless = outliers(llama()), outliers(llama()), outliers(llama())
    Awq(bits=3, group=16).quantize(ours, tokens(32))
    Awq(bits=3, group=16, clip=False).quantize(clipless, tokens(32))
    Rtn(bits=3, group=16, convention="awq").quantize(plain)
    lost = [float((logits(model) - expected).norm()) for model in (ours, clipless, plain)]
    assert max(lost[:2]) < 0.8 * lost[2]


def prepared(model: Any) -> tuple[nn.Module, list[Any], Trials, dict[str, Activations]]:
    block = find_blocks(model)[1][0]
    call = first_call(model, tokens()["input_ids"])
    with torch.no_grad():
        folds = find_folds(block, call)
        trials = Trials(block, folds, call, None)
    inputs = {}
    for fold in folds:
        x = _input_of(model, block.get_submodule(fold.consumers[0]))
        inputs[fold.consumers[0]] = Activations(x.shape[-1], 16)
        inputs[fold.consumers[0]].update(x, 8)
    return block, folds, trials, inputs


def _input_of(model: nn.Module, module: nn.Module) -> Tensor:
    kept: list[Tensor] = []
    handle = module.register_forward_pre_hook(lambda _, args: kept.append(args[0].detach()))
    with torch.no_grad():
        model(**tokens())
    handle.remove()
    return kept[0].reshape(-1, kept[0].shape[-1])


@torch.no_grad()
@pytest.mark.parametrize("duo", [False, True])
def test_the_chosen_scales_change_the_output_least(duo: bool) -> None:
    model = outliers(llama())
    block, folds, trials, inputs = prepared(model)
    method = Awq(stride=1, duo=duo, **PLAIN)
    state = {key: value.clone() for key, value in block.state_dict().items()}
    for fold in folds:
        weights, magnitude = trials.weights(fold), inputs[fold.consumers[0]].magnitude()

        def loss(scales: Tensor, fold: Any = fold, weights: Any = weights) -> float:
            return trials.loss(fold, [method.round(weight * scales) / scales for weight in weights])

        losses = [loss(method.candidate(fold, magnitude, weights, point)) for point in range(20)]
        trials.put(fold, weights)
        assert loss(method.best(fold, magnitude, trials)) == min(losses)
        if not duo:
            assert losses[0] == loss(torch.ones_like(magnitude))  # plain rounding is among them
        trials.put(fold, weights)
    assert all(torch.equal(value, state[key]) for key, value in block.state_dict().items())


@torch.no_grad()
def test_scales_do_not_see_the_size_of_all_activations() -> None:
    _, folds, trials, inputs = prepared(llama())
    magnitude, weights = inputs[folds[0].consumers[0]].magnitude(), trials.weights(folds[0])
    for method in (Awq(**PLAIN), Awq(duo=True, **PLAIN)):
        one, other = (method.candidate(folds[0], magnitude * size, weights, 10) for size in (1, 7))
        torch.testing.assert_close(one, other)
        torch.testing.assert_close((one.max() * one.min()).sqrt(), torch.tensor(1.0))


def test_clipping_errs_least_by_brute_force() -> None:
    weight, x, grid = random(6, 32), correlated(300, 32), Integers(bits=3, convention="awq")
    found = Activations(32, 8)
    found.update(x, 1)
    groups = split(weight, 8)
    best = least_clipping(grid, groups, found.grams())
    largest = groups.abs().amax(-1, keepdim=True)
    for row in range(6):
        for g in range(4):
            part = x[:, 8 * g : 8 * g + 8]
            errors = []
            for step in range(10):
                m = float(largest[row, g]) * (1 - step / 20)
                clipped = groups[row, g].clamp(-m, m)
                rounded = grid.round(clipped, grid.fit(clipped))
                errors.append(float((part @ (rounded - groups[row, g])).square().mean()))
            chosen = round((1 - float(best[row, g] / largest[row, g])) * 20)
            assert errors[chosen] == pytest.approx(min(errors), rel=1e-3)
            assert errors[chosen] <= errors[0]


def test_one_range_for_a_tensor_is_clipped_as_one() -> None:
    weight, x = random(6, 32), correlated(300, 32)
    found = Activations(32, 32)
    found.update(x, 1)
    best = least_clipping(Integers(bits=3), split(weight, "channel"), found.grams(), together=True)
    assert best.shape == (6, 1, 1) and len(best.unique()) == 1


def test_queries_and_keys_are_not_clipped() -> None:
    spared = [
        "self_attn.q_proj",
        "self_attn.k_proj",
        "attention.self.query",
        "attn.c_attn",
        "SelfAttention.q",
    ]
    spared += ["self_attn.qkv_proj", "self_attention.query_key_value", "attn.Wqkv"]
    assert all(QUERIES_AND_KEYS.search(name) for name in spared)
    clipped = ["self_attn.v_proj", "self_attn.o_proj", "mlp.up_proj", "attn.c_proj", "SelfAttention.v", "fc1"]
    assert not any(QUERIES_AND_KEYS.search(name) for name in clipped)
    model = llama()
    block = find_blocks(model)[1][0]
    linear = next(linear for linear in block_linears(model) if linear.name.endswith("q_proj"))
    assert torch.equal(Awq(**PLAIN).clipped(linear, None), block.self_attn.q_proj.weight)


def test_grams_are_of_the_scaled_inputs() -> None:
    """Clipping after folding sees inputs that were divided: the same as measuring them again."""
    x, scales, weight = correlated(200, 32), random(32).exp(), random(5, 32)
    before, after = Activations(32, 16), Activations(32, 16)
    before.update(x, 1)
    after.update(x / scales, 1)
    model = nn.Linear(32, 5)
    model.weight.data = weight
    from etude.models.blocks import Linear

    method = Awq(**PLAIN)
    one = method.clipped(Linear("up", model, before), scales)
    other = method.clipped(Linear("up", model, after), None)
    torch.testing.assert_close(one, other)


def test_a_coarse_search_finds_the_least_of_a_smooth_loss() -> None:
    for least in range(20):
        assert least_point(lambda point, least=least: (point - least) ** 2, 20, 4) == least  # type: ignore[misc]
    assert least_point(lambda point: 1.0, 20) == 0


def test_scaling_can_leave_repeated_values_alone() -> None:
    names = []
    for repeated in (True, False):
        model = llama(kv_heads=2)
        before = {linear.name: linear.weight.clone() for linear in block_linears(model)}
        Awq(bits=8, group=16, clip=False, repeated=repeated).quantize(model, tokens())
        moved = [
            linear.name
            for linear in block_linears(model)
            if not torch.allclose(
                linear.weight, before[linear.name], atol=0.05 * float(linear.weight.abs().max())
            )
        ]
        names.append(any("o_proj" in name for name in moved))
    assert names == [True, False]


def test_what_gelu_gives_is_divided_as_it_comes() -> None:
    """The layer computes what its codes say of divided inputs: ``y = (x / s) Q(W s)^T``."""
    model, dense = gpt2(), gpt2()
    stored = Awq(bits=3, group=16, clip=False).quantize(model, tokens())
    divided = {name for name, layer in stored.items() if layer.divisor is not None}
    assert divided == {f"transformer.h.{index}.mlp.c_proj" for index in range(2)}
    for name in divided:
        layer, weight = stored[name], dense.get_submodule(name).weight.T
        s = layer.divisor
        torch.testing.assert_close((s.max() * s.min()).sqrt(), torch.tensor(1.0), rtol=2e-3, atol=0)
        assert torch.equal(s.half().float(), s)
        torch.testing.assert_close(layer.base(), Awq(bits=3, group=16).nearest(weight * s).base())
        torch.testing.assert_close(layer.weight(), layer.base() / s)
        assert layer.stored_bits() == 32 * 128 * 3 + 32 * 8 * (16 + 3) + 128 * 16
    left = Awq(bits=3, group=16, clip=False, inserted=False).quantize(gpt2(), tokens())
    assert all(layer.divisor is None for layer in left.values())


def test_dividing_loses_less_where_an_activation_stands_out() -> None:
    """Channels behind GELU are made large, and made up for behind."""

    def peaked() -> Any:
        model = gpt2()
        for block in model.transformer.h:
            block.mlp.c_fc.bias.data[::9] += 40
            block.mlp.c_proj.bias.data -= 40 * block.mlp.c_proj.weight.data[::9].sum(0)
        return model

    dense = peaked()
    for index, block in enumerate(dense.transformer.h):
        x, lost = _input_of(dense, block.mlp.c_proj), []
        for inserted in (True, False):
            stored = Awq(bits=4, group=16, clip=False, inserted=inserted).quantize(peaked(), tokens())
            change = stored[f"transformer.h.{index}.mlp.c_proj"].weight() - block.mlp.c_proj.weight.data.T
            lost.append(float((x @ change.T).norm()))
        assert lost[0] < 0.9 * lost[1]


def test_divisors_survive_in_etudes_layout_and_in_decoded_weights(tmp_path: Path) -> None:
    model = gpt2()
    stored = Awq(bits=3, group=16, rank=2).quantize(model, tokens())
    for name in ("etude", "dense"):
        formats.write(name, model, None, stored, tmp_path / name)  # type: ignore[arg-type]
    packed = models.load(tmp_path / "etude", kernel="decode")[0]
    decoded = models.load(tmp_path / "etude", packed=False)[0]
    plain = GPT2LMHeadModel.from_pretrained(tmp_path / "dense")
    for again in (packed, decoded, plain):
        torch.testing.assert_close(logits(again), logits(model), rtol=1e-5, atol=2e-5)
    assert json.loads((tmp_path / "etude" / "config.json").read_text())["quantization_config"]["version"] == 2


def test_formats_of_others_refuse_divided_inputs() -> None:
    scaled = opt(activation_function="gelu")
    for name in ("awq", "gptq", "compressed-tensors"):
        formats.check(name, Awq(group=16), opt(), None)  # type: ignore[arg-type]
        formats.check(name, Awq(group=16, inserted=False), scaled, None)  # type: ignore[arg-type]
        with pytest.raises(InputError, match=r"format: .* set inserted to false"):
            formats.check(name, Awq(group=16), scaled, None)  # type: ignore[arg-type]
    formats.check("etude", Awq(group=16), scaled, None)


def test_padding_is_not_looked_at() -> None:
    padded = tokens(8)
    padded["attention_mask"] = torch.ones_like(padded["input_ids"])
    padded["attention_mask"][:, 10:] = 0
    other = {name: value.clone() for name, value in padded.items()}
    other["input_ids"][:, 10:] = 5
    one, two = llama(), llama()
    Awq(**PLAIN).quantize(one, padded)
    Awq(**PLAIN).quantize(two, other)
    for a, b in zip(block_linears(one), block_linears(two), strict=True):
        torch.testing.assert_close(a.weight, b.weight)


def test_calls_are_cut_to_the_first_segments() -> None:
    calibration = {"input_ids": torch.zeros(8, 16, dtype=torch.long)}
    calls = FirstCalls(calibration, 40)
    assert (calls.segments, calls.chunk) == (3, None)
    assert FirstCalls(calibration, 100_000).chunk == 8
    value = {"a": torch.zeros(8, 2), "b": (torch.zeros(1, 2), [torch.zeros(8)]), "c": None}
    cut = narrow(value, 8, 3)
    assert cut["a"].shape == (3, 2) and cut["b"][0].shape == (1, 2) and cut["b"][1][0].shape == (3,)


def test_clipped_weights_round_within_their_range() -> None:
    weight = random(4, 32)
    groups = split(weight, 16).clamp(-0.5, 0.5)
    method = Awq(**PLAIN)
    stored = method.nearest(joined(groups, (4, 32)))
    assert float(stored.base().abs().max()) < 0.6


@pytest.mark.parametrize("by", ["activation", "weight", "random"])
def test_salient_columns_are_kept(by: Any) -> None:
    model, dense = llama(), llama()
    stored = Salient(bits=3, group=16, keep=0.05, by=by).quantize(model, tokens())
    for one, other in zip(block_linears(model), block_linears(dense), strict=True):
        exact = (one.weight - other.weight).abs().amax(0) < 2e-3 * other.weight.abs().max()
        assert int(exact.sum()) >= stored[one.name].low_rank.rank == -(-one.weight.shape[1] // 20)
