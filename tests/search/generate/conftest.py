"""A tiny language model that ends its texts, and a scorer that counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from etude import models
from etude.search.generate.chunks import Candidate
from etude.seeds import seeded

PROMPTS = ["It was late, and the house", "He said", "The sea was grey and the ships lay still"]


@pytest.fixture(scope="session")
def tiny() -> tuple[Any, Any]:
    """A LLaMA of two layers with nano-llama's vocabulary whose texts end about every tenth token."""
    from transformers import LlamaConfig, LlamaForCausalLM

    _, tokenizer = models.load("nano-llama")
    with seeded(0):
        config = LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=64,
            eos_token_id=tokenizer.eos_token_id,
            initializer_range=0.2,
        )
        model = LlamaForCausalLM(config).eval()
    return model, tokenizer


@dataclass
class Longest:
    """Likes long texts, and counts what it was asked."""

    read_calls: int = 0
    scored: int = 0

    def read(self, prefixes: Sequence[str]) -> list[str]:
        self.read_calls += 1
        return list(prefixes)

    def score(self, read: Any, owners: Sequence[int], candidates: Sequence[Candidate]) -> torch.Tensor:
        self.scored += len(candidates)
        return torch.tensor([float(len(each.text)) for each in candidates])


@pytest.fixture
def longest() -> Longest:
    return Longest()
