"""Where models can be cut, and that cutting is the same as masking."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.models import zoo
from tests.models.zoo import IDS, llama, outputs, same
from torch import nn

from etude import models
from etude.errors import InputError
from etude.models.structure import Site, drop_blocks, find_sites, stock_counts

SIZES = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
LIMIT = {"max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}


def decoder(kind: str, **fields: Any) -> Any:
    config = getattr(hf, f"{kind}Config")(**SIZES | LIMIT | {"intermediate_size": 48} | fields)
    return zoo._eval(getattr(hf, f"{kind}ForCausalLM"), config)


CUTTABLE = {
    "llama, a key for each query": lambda: llama(num_key_value_heads=4),
    "llama, grouped": llama,
    "llama, one key for all": lambda: llama(num_key_value_heads=1),
    "llama, biases": lambda: llama(attention_bias=True, mlp_bias=True),
    "llama, large heads": lambda: llama(head_dim=16),
    "qwen2": lambda: decoder("Qwen2", num_key_value_heads=2),
    "qwen3": lambda: decoder("Qwen3", num_key_value_heads=2, head_dim=16),
    "gemma2": lambda: decoder("Gemma2", num_key_value_heads=2, head_dim=16),
    "phi, attention beside the MLP": lambda: decoder("Phi"),
    "opt": zoo.opt,
    "bert": zoo.bert,
    "vit": zoo.vit,
}
UNCUTTABLE = {
    "gpt2, fused": zoo.gpt2,
    "phi3, fused": lambda: decoder("Phi3", num_key_value_heads=2),
    "mixtral, experts": lambda: decoder("Mixtral", num_key_value_heads=2, num_local_experts=2),
    "t5, a position bias for each head": zoo.t5_encoder,
    "olmo2, a norm over all heads": lambda: decoder("Olmo2"),
}


@pytest.mark.parametrize("name", CUTTABLE)
def test_every_block_has_an_attention_and_an_mlp(name: str) -> None:
    model = CUTTABLE[name]()
    sites = find_sites(model)
    blocks = model.config.num_hidden_layers
    assert [(site.block, site.kind) for site in sites] == [
        (index, kind) for index in range(blocks) for kind in ("attention", "mlp")
    ]
    config = model.config
    groups = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    assert {site.units for site in sites if site.kind == "attention"} == {groups}
    assert {site.units for site in sites if site.kind == "mlp"} == {48}


@pytest.mark.parametrize("name", UNCUTTABLE)
def test_what_cannot_be_cut_is_refused_and_left_alone(name: str) -> None:
    model, untouched = UNCUTTABLE[name](), UNCUTTABLE[name]()
    with pytest.raises(InputError, match=r"^model: "):
        find_sites(model)
    assert same(model, untouched)


@pytest.mark.parametrize("name", ["llama, grouped", "opt", "bert"])
def test_looking_leaves_no_trace(name: str) -> None:
    model, untouched = CUTTABLE[name](), CUTTABLE[name]()
    model.train()
    find_sites(model)
    assert model.training
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert same(model.eval(), untouched)


def test_cost_of_a_unit() -> None:
    attention, mlp = find_sites(llama(attention_bias=True))[:2]
    assert (
        attention.cost == (2 + 1 + 1 + 2) * 8 * 32 + (2 + 1 + 1) * 8
    )  # two queries, a key, a value, o; biases
    assert mlp.cost == 3 * 32


def masks(sites: list[Site], draw: Any) -> list[torch.Tensor]:
    """Units to remove, at random; as many stay as must."""
    return [
        torch.randperm(site.units, generator=draw)
        < int(torch.randint(site.units - site.least + 1, (), generator=draw))
        for site in sites
    ]


@pytest.mark.parametrize("name", CUTTABLE)
@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 2**31 - 1))
def test_cutting_is_masking(name: str, seed: int) -> None:
    masked, cut = CUTTABLE[name](), CUTTABLE[name]()
    removed = masks(find_sites(cut), torch.Generator().manual_seed(seed))
    for site, gone in zip(find_sites(masked), removed, strict=True):
        site.mask(gone)
    before, saved = cut.num_parameters(), 0
    for site, gone in zip(find_sites(cut), removed, strict=True):
        saved += site.cost * int(gone.sum())
        site.cut(gone)
    assert torch.allclose(outputs(cut), outputs(masked), atol=1e-5)
    assert before - cut.num_parameters() == saved


@pytest.mark.parametrize("name", ["llama, grouped", "llama, biases", "opt"])
def test_folded_means_stand_in_for_what_is_gone(name: str) -> None:
    replaced, cut = CUTTABLE[name](), CUTTABLE[name]()
    draw = torch.Generator().manual_seed(0)
    for site, there in zip(find_sites(cut), find_sites(replaced), strict=True):
        gone = torch.arange(site.units) % 2 == 1
        width = site.output.weight.shape[1]
        features = gone.repeat_interleave(width // site.units)
        mean = torch.randn(width, generator=draw)
        site.cut(gone, mean)
        there.output.module.register_forward_pre_hook(
            lambda _, args, features=features, mean=mean: (torch.where(features, mean, args[0]),)
        )
    assert torch.allclose(outputs(cut), outputs(replaced), atol=1e-5)


@pytest.mark.parametrize("name", ["llama, grouped", "qwen2", "phi, attention beside the MLP"])
def test_layers_without_heads_compute_and_generate(name: str) -> None:
    model = CUTTABLE[name]()
    for site in find_sites(model):
        if site.kind == "attention" and site.least == 0:
            site.cut(torch.ones(site.units, dtype=torch.bool), torch.ones(site.output.weight.shape[1]))
    assert sum(site.kind == "attention" for site in find_sites(model)) == 1
    assert torch.equal(*(generated(model, use_cache=cache) for cache in (True, False)))


def test_where_a_head_must_stay() -> None:
    """In the first block the length of the cache is read off the keys; OPT cannot count to 0 heads at all."""
    assert [site.least for site in find_sites(llama())] == [1, 0, 0, 0]
    assert [site.least for site in find_sites(zoo.opt())] == [1, 0, 1, 0]


def test_cut_twice() -> None:
    model = llama(num_key_value_heads=4)
    for _ in range(2):
        for site in find_sites(model):
            site.cut(torch.arange(site.units) == 0)
    assert [site.units for site in find_sites(model)] == [2, 46, 2, 46]
    outputs(model)


def test_what_a_configuration_can_say() -> None:
    mha = llama(num_key_value_heads=4)  # 32 features: 3 heads do not divide them
    assert [stock_counts(mha, find_sites(mha))(lost) for lost in range(4)] == [True, False, True, True]
    qwen = decoder("Qwen2", num_key_value_heads=4)
    assert all(stock_counts(qwen, find_sites(qwen))(lost) for lost in range(4))
    opt = zoo.opt()
    assert [stock_counts(opt, find_sites(opt))(lost) for lost in range(3)] == [True, False, False]


@pytest.mark.parametrize("name", ["llama, grouped", "qwen2", "gemma2", "opt"])
def test_dropped_blocks(name: str) -> None:
    model, whole = CUTTABLE[name](), CUTTABLE[name]()
    drop_blocks(model, [1])
    blocks = whole.config.num_hidden_layers
    assert model.config.num_hidden_layers == blocks - 1
    assert len(getattr(model.config, "layer_types", range(blocks - 1))) == blocks - 1
    names = [name for name, module in whole.named_modules() if isinstance(module, nn.ModuleList)]
    kept = whole.get_submodule(names[0])
    kept[1].forward = lambda hidden_states, *args, **kwargs: hidden_states
    assert torch.allclose(outputs(model), outputs(whole), atol=1e-6)
    assert torch.equal(*(generated(model, use_cache=cache) for cache in (True, False)))


def test_dropping_blocks_leaves_other_lists_alone() -> None:
    model = llama(eos_token_id=[0, 1])
    drop_blocks(model, [0])
    assert model.config.eos_token_id == [0, 1]


def generated(model: Any, use_cache: bool) -> torch.Tensor:
    ids = IDS % 50 + 3
    return model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=5,
        min_new_tokens=5,
        use_cache=use_cache,
        do_sample=False,
        pad_token_id=2,
    )


def test_weights_mapped_from_a_file_are_cut_in_their_place(tmp_path: Path) -> None:
    """The file's memory comes back only as a whole: new weights elsewhere would be on top of it."""
    models.save(llama(), None, tmp_path / "whole")
    mapped, built = models.load(tmp_path / "whole")[0], llama()
    places = [site.output.weight.data_ptr() for site in find_sites(mapped)]
    for model in (mapped, built):
        for site in find_sites(model):
            site.cut(torch.arange(site.units) % 2 == 1)
    assert same(mapped, built)
    assert [site.output.weight.data_ptr() for site in find_sites(mapped)] == places
    models.save(mapped, None, tmp_path / "cut")
    assert same(models.load(tmp_path / "cut")[0], built)
    assert (tmp_path / "cut" / "model.safetensors").stat().st_size < 5 * mapped.num_parameters()


def test_a_model_that_is_not_finite_is_refused() -> None:
    model = llama()
    model.model.layers[0].mlp.up_proj.weight.data[0, 0] = torch.nan
    with pytest.raises(InputError, match=r"^model: .* not finite"):
        find_sites(model)
