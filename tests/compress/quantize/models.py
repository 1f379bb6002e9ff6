"""Tiny models and layers for the tests of quantisers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, OPTConfig, OPTForCausalLM

from etude.models.blocks import Linear
from etude.seeds import seeded

VOCABULARY = 64


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def correlated(tokens: int, features: int, seed: int = 0) -> Tensor:
    """Inputs whose features go together and differ in size, as those of real layers do."""
    mix = random(features, features, seed=seed + 1) / features**0.5 + torch.eye(features)
    sizes = random(features, seed=seed + 2).exp()
    return random(tokens, features, seed=seed) @ mix * sizes


def layer(outputs: int, inputs: int, seed: int = 0) -> Linear:
    module = nn.Linear(inputs, outputs, bias=False)
    module.weight.data = random(outputs, inputs, seed=seed)
    return Linear("layer", module)


def tokens(segments: int = 8, length: int = 16, seed: int = 1) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return {"input_ids": torch.randint(VOCABULARY, (segments, length), generator=draw)}


def logits(model: nn.Module) -> Tensor:
    with torch.no_grad():
        found: Tensor = model(**tokens(seed=2)).logits
        return found


def llama(kv_heads: int = 2, hidden: int = 32, vocabulary: int = VOCABULARY, **extra: Any) -> Any:
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=hidden, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=kv_heads, max_position_embeddings=32, **extra,
    )  # fmt: skip
    return _lively(LlamaForCausalLM, config)


def gpt2() -> Any:
    config = GPT2Config(
        vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=32, bos_token_id=0, eos_token_id=0
    )
    return _lively(GPT2LMHeadModel, config)


def opt(**extra: Any) -> Any:
    config = OPTConfig(
        vocab_size=VOCABULARY, hidden_size=32, ffn_dim=64, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=32, word_embed_proj_dim=32, **extra,
    )  # fmt: skip
    return _lively(OPTForCausalLM, config)


def _lively(kind: Any, config: Any) -> Any:
    """Random weights large enough to matter, random biases, and norms with outlier channels."""
    with seeded(0):
        model = kind(config).eval()
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.data += 0.3 * torch.randn_like(parameter)
            else:
                parameter.data *= 5
    return model
