"""Tiny language models of the kinds that exist, and a tokenizer for them: for checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from etude.seeds import seeded

VOCABULARY, LIMIT, WIDTH = 32, 32, 16


def grouped() -> Any:
    """A LLaMA with grouped-query attention and tied embeddings, without biases."""
    from transformers import LlamaConfig, LlamaForCausalLM

    return _seeded(lambda: LlamaForCausalLM(LlamaConfig(**_sizes(), tie_word_embeddings=True)))


def biased() -> Any:
    """A LLaMA with biases and its own output embedding."""
    from transformers import LlamaConfig, LlamaForCausalLM

    biases: dict[str, Any] = {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": False}
    return _seeded(lambda: LlamaForCausalLM(LlamaConfig(**_sizes() | {"num_key_value_heads": 4}, **biases)))


def fused() -> Any:
    """A GPT-2: query, key and value in one transposed layer, positions that are learned."""
    from transformers import GPT2Config, GPT2LMHeadModel

    sizes: dict[str, Any] = {"n_embd": WIDTH, "n_layer": 2, "n_head": 4, "n_positions": LIMIT}
    return _seeded(lambda: GPT2LMHeadModel(GPT2Config(**sizes, vocab_size=VOCABULARY, **_NO_ENDS)))


def tokenizer() -> Any:
    """Words ``w1`` to ``w31`` and one for all others."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {"<unk>": 0} | {f"w{number}": number for number in range(1, VOCABULARY)}
    made = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>")  # type: ignore[no-untyped-call]


_NO_ENDS: dict[str, Any] = {"bos_token_id": None, "eos_token_id": None}


def _sizes() -> dict[str, Any]:
    return {
        "vocab_size": VOCABULARY,
        "hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": LIMIT,
        **_NO_ENDS,
    }


def _seeded(make: Callable[[], nn.Module]) -> nn.Module:
    """A model whose biases and norms are random too, so that nothing is zero by chance."""
    with seeded(0):
        model = make().eval()
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.data += 0.1 * torch.randn_like(parameter)
        return model
