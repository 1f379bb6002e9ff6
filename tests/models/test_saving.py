"""What is saved comes back to the last bit, by the plainest means that can bring it back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.models import zoo
from torch import nn

from etude.errors import InputError
from etude.models import load, save
from etude.models.blocks import find_blocks


def keep(linear: nn.Module, rows: Any = None, columns: Any = None, bias: bool | None = None) -> None:
    """Resize a linear layer as structured pruning does: a new parameter, new sizes, perhaps a bias."""
    weight = linear.weight.data
    rows = range(weight.shape[0]) if rows is None else rows
    columns = range(weight.shape[1]) if columns is None else columns
    linear.weight = nn.Parameter(weight[list(rows)][:, list(columns)].clone())
    linear.out_features, linear.in_features = linear.weight.shape
    if linear.bias is not None:
        linear.bias = nn.Parameter(linear.bias.data[list(rows)].clone())
    elif bias:
        linear.bias = nn.Parameter(torch.randn(linear.out_features))


def cut_feed_forward(model: Any, widths: list[int], bias: bool = False) -> None:
    for layer, width in zip(model.model.layers, widths, strict=True):
        keep(layer.mlp.gate_proj, rows=range(width))
        keep(layer.mlp.up_proj, rows=range(width))
        keep(layer.mlp.down_proj, columns=range(width), bias=bias)


def cut_heads(model: Any, groups: list[int], bias: bool = False) -> None:
    """Keep the first key-value heads of each layer with their two query heads; heads are 8 wide."""
    for layer, kept in zip(model.model.layers, groups, strict=True):
        attention = layer.self_attn
        keep(attention.q_proj, rows=range(16 * kept))
        keep(attention.k_proj, rows=range(8 * kept))
        keep(attention.v_proj, rows=range(8 * kept))
        keep(attention.o_proj, columns=range(16 * kept), bias=bias)


@pytest.mark.parametrize("kind", zoo.ZOO)
def test_every_shape_comes_back_exactly_here_and_through_transformers(kind: str, tmp_path: Path) -> None:
    model = zoo.ZOO[kind]()
    save(model, None, tmp_path / "model")
    again, tokenizer = load(tmp_path / "model")
    assert type(again) is type(model)
    assert tokenizer is None
    assert not again.training
    assert zoo.same(model, again)
    assert zoo.same(model, type(model).from_pretrained(tmp_path / "model", dtype=torch.float32))
    assert not (tmp_path / "model" / "etude.json").exists()


def test_a_tied_embedding_stays_tied_and_is_written_once(tmp_path: Path) -> None:
    save(zoo.llama(), None, tmp_path / "tied")
    save(zoo.llama(tie_word_embeddings=False), None, tmp_path / "untied")
    again, _ = load(tmp_path / "tied")
    assert again.lm_head.weight is again.model.embed_tokens.weight
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("tied", "untied")]
    assert sizes[1] - sizes[0] >= 64 * 32 * 4


def test_a_head_that_was_untied_by_hand_is_kept_apart(tmp_path: Path) -> None:
    model = zoo.llama()
    model.lm_head.weight = nn.Parameter(model.lm_head.weight.data * 2)
    save(model, None, tmp_path / "model")
    again, _ = load(tmp_path / "model")
    assert zoo.same(model, again)
    assert not torch.equal(again.lm_head.weight, again.model.embed_tokens.weight)


@pytest.mark.parametrize("bias", [False, True])
def test_uniform_widths_are_a_stock_checkpoint(bias: bool, tmp_path: Path) -> None:
    model = zoo.llama()
    cut_feed_forward(model, [20, 20], bias)
    cut_heads(model, [1, 1], bias)
    save(model, None, tmp_path / "model")
    stock = hf.AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32)
    assert zoo.same(model, stock)
    assert zoo.same(model, load(tmp_path / "model")[0])
    assert stock.config.intermediate_size == 20
    assert (stock.config.num_attention_heads, stock.config.num_key_value_heads) == (2, 1)
    assert stock.config.head_dim == 8
    assert (stock.config.attention_bias, stock.config.mlp_bias) == (bias, bias)
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
    ]


def test_saving_leaves_the_model_and_its_configuration_as_they_were(tmp_path: Path) -> None:
    model = zoo.llama()
    cut_feed_forward(model, [20, 20], bias=True)
    before, config = zoo.outputs(model), model.config.to_json_string()
    save(model, None, tmp_path / "model")
    assert model.config.to_json_string() == config
    assert model.model.layers[0].mlp.gate_proj.bias is None
    assert torch.equal(zoo.outputs(model), before)


@pytest.mark.parametrize("bias", [False, True])
def test_widths_that_differ_lie_beside_the_weights(bias: bool, tmp_path: Path) -> None:
    model = zoo.llama(num_key_value_heads=4)
    cut_feed_forward(model, [20, 48], bias)
    for layer, heads in zip(model.model.layers, (3, 1), strict=True):
        attention = layer.self_attn
        for projection in (attention.q_proj, attention.k_proj, attention.v_proj):
            keep(projection, rows=range(8 * heads))
        keep(attention.o_proj, columns=range(8 * heads), bias=bias)
    save(model, zoo.byte_tokenizer(), tmp_path / "model")
    again, tokenizer = load(tmp_path / "model")
    assert type(again) is hf.LlamaForCausalLM
    assert zoo.same(model, again)
    assert again.lm_head.weight is again.model.embed_tokens.weight
    assert tokenizer.decode(tokenizer("a b")["input_ids"]) == "a b"
    widths = json.loads((tmp_path / "model" / "etude.json").read_text())
    assert widths["version"] == 1
    assert widths["layers"]["model.layers.1.self_attn.q_proj"] == {
        "in_features": 32,
        "out_features": 8,
        "bias": False,
    }
    assert widths["layers"]["model.layers.0.self_attn.o_proj"] == {
        "in_features": 24,
        "out_features": 32,
        "bias": bias,
    }


def test_a_model_with_widths_of_its_own_can_be_cut_and_saved_again(tmp_path: Path) -> None:
    model = zoo.llama()
    cut_feed_forward(model, [20, 48])
    save(model, None, tmp_path / "first")
    model, _ = load(tmp_path / "first")
    cut_feed_forward(model, [18, 18])
    save(model, None, tmp_path / "second")
    assert zoo.same(model, load(tmp_path / "second")[0])
    assert not (tmp_path / "second" / "etude.json").exists()


def test_head_counts_that_modules_keep_come_back(tmp_path: Path) -> None:
    model = zoo.opt()
    attention = model.model.decoder.layers[1].self_attn
    for projection in (attention.q_proj, attention.k_proj, attention.v_proj):
        keep(projection, rows=range(8))
    keep(attention.out_proj, columns=range(8))
    attention.num_heads, attention.embed_dim = 1, 8
    save(model, None, tmp_path / "model")
    again, _ = load(tmp_path / "model")
    assert zoo.same(model, again)
    assert again.model.decoder.layers[1].self_attn.num_heads == 1
    assert again.model.decoder.layers[0].self_attn.num_heads == 4


def test_a_layer_cut_to_nothing_comes_back(tmp_path: Path) -> None:
    model = zoo.llama()
    cut_feed_forward(model, [0, 7], bias=True)
    cut_heads(model, [1, 0], bias=True)
    save(model, None, tmp_path / "model")
    again, _ = load(tmp_path / "model")
    assert again.model.layers[0].mlp.up_proj.weight.shape == (0, 32)
    assert zoo.same(model, again)


def test_query_heads_cut_within_groups_come_back(tmp_path: Path) -> None:
    model = zoo.llama()
    attention = model.model.layers[0].self_attn
    rows = [*range(8), *range(16, 24)]  # the first query head of each group
    keep(attention.q_proj, rows=rows)
    keep(attention.o_proj, columns=rows)
    attention.num_key_value_groups = 1
    save(model, None, tmp_path / "model")
    assert zoo.same(model, load(tmp_path / "model")[0])


def test_gpt2_and_bert_and_vit_widths_come_back(tmp_path: Path) -> None:
    gpt2 = zoo.gpt2()
    feed_forward = gpt2.transformer.h[0].mlp
    feed_forward.c_fc.weight = nn.Parameter(feed_forward.c_fc.weight.data[:, :100].clone())
    feed_forward.c_fc.bias = nn.Parameter(feed_forward.c_fc.bias.data[:100].clone())
    feed_forward.c_fc.nf = 100
    feed_forward.c_proj.weight = nn.Parameter(feed_forward.c_proj.weight.data[:100].clone())
    feed_forward.c_proj.nx = 100
    save(gpt2, None, tmp_path / "gpt2")
    assert zoo.same(gpt2, load(tmp_path / "gpt2")[0])

    bert, vit = zoo.bert(), zoo.vit()
    for layer in bert.bert.encoder.layer:
        keep(layer.intermediate.dense, rows=range(40))
        keep(layer.output.dense, columns=range(40))
    save(bert, None, tmp_path / "bert")
    assert zoo.same(bert, hf.BertForMaskedLM.from_pretrained(tmp_path / "bert"))
    blocks = find_blocks(vit)[1]
    first = [module for module in blocks[0].modules() if isinstance(module, nn.Linear)]
    wide, narrow = (m for m in first if 48 in (m.in_features, m.out_features))
    keep(wide, rows=range(30))
    keep(narrow, columns=range(30))
    save(vit, None, tmp_path / "vit")
    assert zoo.same(vit, load(tmp_path / "vit")[0])


@settings(max_examples=12, deadline=None)
@given(
    widths=st.lists(st.integers(0, 48), min_size=2, max_size=2),
    groups=st.lists(st.integers(1, 2), min_size=2, max_size=2),
    bias=st.booleans(),
    tied=st.booleans(),
)
def test_any_cut_comes_back(
    widths: list[int], groups: list[int], bias: bool, tied: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("cut") / "model"
    model = zoo.llama(tie_word_embeddings=tied)
    cut_feed_forward(model, widths, bias)
    cut_heads(model, groups, bias)
    save(model, None, folder)
    assert zoo.same(model, load(folder)[0])
    uniform = len(set(widths)) == len(set(groups)) == 1 and widths[0] > 0
    assert (folder / "etude.json").exists() != uniform


def test_what_cannot_come_back_is_not_written(tmp_path: Path) -> None:
    model = zoo.llama()
    model.model.norm.weight = nn.Parameter(torch.ones(31))
    with pytest.raises(InputError, match=r"model: cannot be saved: model\.norm\.weight"):
        save(model, None, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"folder: .* not empty"):
        save(zoo.llama(), None, tmp_path)
    with pytest.raises(InputError, match="folder: "):
        save(zoo.llama(), None, tmp_path / "notes.txt")
    with pytest.raises(InputError, match="folder: cannot make"):
        save(zoo.llama(), None, tmp_path / "notes.txt" / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_empty_folder_and_missing_parents_will_do(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    save(zoo.llama(), None, tmp_path / "empty")
    save(zoo.llama(), None, tmp_path / "a" / "b")
    assert (tmp_path / "empty" / "config.json").exists()
    assert (tmp_path / "a" / "b" / "config.json").exists()


def test_an_interrupted_save_leaves_nothing(tmp_path: Path) -> None:
    class Broken:
        def save_pretrained(self, folder: Path) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save(zoo.llama(), Broken(), tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
