"""Folds are found in every architecture, and folding alone changes nothing that a model computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers as hf
from torch import Tensor, nn

from etude.compress.quantize.folding import Fold, find_activated, find_folds
from etude.models.blocks import find_blocks
from etude.seeds import seeded

SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
BLOOM = {"vocab_size": 64, "hidden_size": 32, "n_layer": 2, "n_head": 4}
GROUPED = SIZES | {"num_key_value_heads": 2, "head_dim": 8}
LLAMA = [
    "input_layernorm -> self_attn.q_proj self_attn.k_proj self_attn.v_proj",
    "self_attn.v_proj -> self_attn.o_proj",
    "post_attention_layernorm -> mlp.gate_proj mlp.up_proj",
    "mlp.up_proj -> mlp.down_proj",
]


def t5() -> nn.Module:
    return hf.T5EncoderModel(
        hf.T5Config(vocab_size=64, d_model=32, d_ff=64, num_layers=2, num_heads=4, d_kv=8)
    )


def gpt2() -> nn.Module:
    return hf.GPT2LMHeadModel(
        hf.GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0)
    )


def opt(activation: str = "relu") -> nn.Module:
    sizes = {
        "activation_function": activation,
        "vocab_size": 64,
        "hidden_size": 32,
        "ffn_dim": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    return hf.OPTForCausalLM(hf.OPTConfig(**sizes, word_embed_proj_dim=32, max_position_embeddings=64))


def falcon() -> nn.Module:
    sizes = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    return hf.FalconForCausalLM(hf.FalconConfig(**sizes, bos_token_id=0, eos_token_id=0))


MODELS: dict[str, tuple[Callable[[], nn.Module], list[str]]] = {
    "llama": (lambda: hf.LlamaForCausalLM(hf.LlamaConfig(**SIZES)), LLAMA),
    "llama, grouped queries": (lambda: hf.LlamaForCausalLM(hf.LlamaConfig(**GROUPED)), LLAMA),
    "qwen2, biases": (lambda: hf.Qwen2ForCausalLM(hf.Qwen2Config(**SIZES, num_key_value_heads=2)), LLAMA),
    "gemma, norms of 1 + weight": (lambda: hf.GemmaForCausalLM(hf.GemmaConfig(**GROUPED)), LLAMA),
    "gpt2, fused and transposed": (
        gpt2,
        ["ln_1 -> attn.c_attn", "attn.c_attn -> attn.c_proj", "ln_2 -> mlp.c_fc"],  # GELU stops the fourth
    ),
    "opt, ReLU": (
        opt,
        [
            "self_attn_layer_norm -> self_attn.q_proj self_attn.k_proj self_attn.v_proj",
            "self_attn.v_proj -> self_attn.out_proj",
            "final_layer_norm -> fc1",
            "fc1 -> fc2",
        ],
    ),
    "bloom, fused by heads": (
        lambda: hf.BloomForCausalLM(hf.BloomConfig(**BLOOM)),
        [
            "input_layernorm -> self_attention.query_key_value",
            "self_attention.query_key_value -> self_attention.dense",
            "post_attention_layernorm -> mlp.dense_h_to_4h",
        ],
    ),
    "gpt-neox, fused by heads": (
        lambda: hf.GPTNeoXForCausalLM(hf.GPTNeoXConfig(**SIZES)),
        [
            "input_layernorm -> attention.query_key_value",
            "attention.query_key_value -> attention.dense",
            "post_attention_layernorm -> mlp.dense_h_to_4h",
        ],
    ),
    "falcon, one norm for both": (
        falcon,
        ["input_layernorm -> self_attention.query_key_value mlp.dense_h_to_4h"],
    ),
    "bert, norms in the residual stream": (
        lambda: hf.BertModel(hf.BertConfig(**SIZES)),
        ["attention.self.value -> attention.output.dense"],
    ),
    "t5": (
        t5,
        [
            "layer.0.layer_norm -> layer.0.SelfAttention.q layer.0.SelfAttention.k layer.0.SelfAttention.v",
            "layer.0.SelfAttention.v -> layer.0.SelfAttention.o",
            "layer.1.layer_norm -> layer.1.DenseReluDense.wi",
            "layer.1.DenseReluDense.wi -> layer.1.DenseReluDense.wo",
        ],
    ),
}


ACTIVATED: dict[str, tuple[Callable[[], nn.Module], list[str]]] = {
    "llama": (MODELS["llama"][0], []),
    "llama, grouped queries": (MODELS["llama, grouped queries"][0], []),
    "gpt2": (gpt2, ["mlp.c_proj"]),
    "opt, ReLU": (opt, []),
    "opt, GELU": (lambda: opt("gelu"), ["fc2"]),
    "falcon": (falcon, ["mlp.dense_4h_to_h"]),
    "bert": (lambda: hf.BertModel(hf.BertConfig(**SIZES)), ["output.dense"]),
    "bloom": (lambda: hf.BloomForCausalLM(hf.BloomConfig(**BLOOM)), ["mlp.dense_4h_to_h"]),
    "gpt-neox": (lambda: hf.GPTNeoXForCausalLM(hf.GPTNeoXConfig(**SIZES)), ["mlp.dense_4h_to_h"]),
    "phi": (lambda: hf.PhiForCausalLM(hf.PhiConfig(**SIZES)), ["mlp.fc2"]),
    "t5, ReLU": (t5, []),
}
"""The layers behind activations whose factors can be folded nowhere: GELU's, not ReLU's."""


def lively(make: Callable[[], Any]) -> Any:
    with seeded(0):
        model = make().eval()
        model.config.use_cache = False
        for parameter in model.parameters():
            parameter.data *= 3
            if parameter.ndim == 1:
                parameter.data += 0.2 * torch.randn_like(parameter)
    return model


def first_call(model: nn.Module, ids: Tensor) -> tuple[Any, Any]:
    kept: list[tuple[Any, Any]] = []
    block = find_blocks(model)[1][0]
    handle = block.register_forward_pre_hook(
        lambda _, args, kwargs: kept.append((args, kwargs)), with_kwargs=True
    )
    with torch.no_grad():
        model(input_ids=ids)
    handle.remove()
    return kept[0]


@pytest.mark.parametrize("name", MODELS)
def test_every_architecture(name: str) -> None:
    make, expected = MODELS[name]
    model = lively(make)
    ids = torch.randint(64, (2, 12), generator=torch.Generator().manual_seed(0))
    state = {key: value.clone() for key, value in model.state_dict().items()}
    folds = find_folds(find_blocks(model)[1][0], first_call(model, ids))
    assert [f"{fold.source} -> {' '.join(fold.consumers)}" for fold in folds] == expected
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    with torch.no_grad():
        before = model(input_ids=ids)[0]
        for block in find_blocks(model)[1]:
            for fold in folds:
                scales = torch.rand(len(fold.rows), generator=torch.Generator().manual_seed(1)) * 3 + 0.2
                fold.apply(block, fold.shared(scales))
        after = model(input_ids=ids)[0]
    changed = [key for key, value in model.state_dict().items() if not torch.equal(value, state[key])]
    assert changed
    assert float((after - before).abs().max()) < 2e-5 * float(before.abs().max())


@pytest.mark.parametrize("name", ACTIVATED)
def test_layers_behind_activations(name: str) -> None:
    make, expected = ACTIVATED[name]
    model = lively(make)
    ids = torch.randint(64, (2, 12), generator=torch.Generator().manual_seed(0))
    block, call = find_blocks(model)[1][0], first_call(model, ids)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    activated = find_activated(block, call, find_folds(block, call))
    assert [fold.consumers for fold in activated] == [(name,) for name in expected]
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    with torch.no_grad():
        before = model(input_ids=ids)[0]
        for fold in activated:
            scales = torch.rand(len(fold.rows), generator=torch.Generator().manual_seed(1)) * 3 + 0.2
            fold.apply(block, scales)
            reader = block.get_submodule(fold.consumers[0])
            reader.register_forward_pre_hook(lambda _, args, scales=scales: (args[0] / scales,))
        after = model(input_ids=ids)[0]
    assert float((after - before).abs().max()) <= 2e-5 * float(before.abs().max())


def test_values_that_serve_several_queries_share_their_scale() -> None:
    model = lively(MODELS["llama, grouped queries"][0])
    ids = torch.arange(12)[None]
    fold = find_folds(find_blocks(model)[1][0], first_call(model, ids))[1]
    assert fold.rows.tolist() == [*range(8), *range(8), *range(8, 16), *range(8, 16)]
    assert fold.repeats
    shared = fold.shared(torch.arange(32.0))
    assert shared[:8].tolist() == shared[8:16].tolist() == [4.0 + i for i in range(8)]


def test_where_the_output_is_compared() -> None:
    rows = torch.arange(4)
    assert Fold("n", ("attn.q", "attn.k"), rows).inspected == "attn"
    assert Fold("n", ("attn.o",), rows).inspected == "attn.o"
    assert Fold("n", ("attn.qkv", "mlp.up"), rows).inspected == ""
    assert Fold("n", ("attn_a.q", "attn_b.k"), rows).inspected == ""
