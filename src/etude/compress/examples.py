"""Tiny language models of the kinds that exist, and what may be wrong with calibration text: for checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from etude.seeds import seeded

VOCABULARY, LENGTH, SEGMENTS, LIMIT = 64, 16, 6, 32
WIDTH = 32


def grouped(width: int = WIDTH) -> Any:
    """A LLaMA with grouped-query attention and tied embeddings, without biases."""
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = _sizes(width) | {"num_key_value_heads": 2, "tie_word_embeddings": True}
    return _seeded(lambda: LlamaForCausalLM(LlamaConfig(**sizes)))


def biased(width: int = WIDTH) -> Any:
    """A LLaMA with a key and a value for every query, biases and its own output embedding."""
    from transformers import LlamaConfig, LlamaForCausalLM

    biases: dict[str, Any] = {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": False}
    return _seeded(lambda: LlamaForCausalLM(LlamaConfig(**_sizes(width), **biases)))


def fused(width: int = WIDTH) -> Any:
    """A GPT-2: query, key and value in one transposed layer, biases, positions that are learned."""
    from transformers import GPT2Config, GPT2LMHeadModel

    sizes: dict[str, Any] = {
        "n_embd": width,
        "n_layer": 2,
        "n_head": 4,
        "n_positions": LIMIT,
        "vocab_size": VOCABULARY,
    }
    sizes |= {"bos_token_id": 0, "eos_token_id": 0}
    return _seeded(lambda: GPT2LMHeadModel(GPT2Config(**sizes)))


def tokens(seed: int) -> dict[str, Tensor]:
    """Random segments, one of them padded."""
    draw = torch.Generator().manual_seed(seed)
    mask = torch.ones(SEGMENTS, LENGTH, dtype=torch.long)
    mask[-1, LENGTH // 2 :] = 0
    ids = torch.randint(VOCABULARY, (SEGMENTS, LENGTH), generator=draw)
    return {"input_ids": ids, "attention_mask": mask}


def _sizes(width: int) -> dict[str, Any]:
    return {
        "vocab_size": VOCABULARY,
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": LIMIT,
    }


def _seeded(make: Callable[[], nn.Module]) -> nn.Module:
    """A model whose biases and norms are random too, so that nothing is zero by chance."""
    with seeded(0):
        model = make().eval()
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.data += 0.1 * torch.randn_like(parameter)
        return model


def _with(name: str, change: Callable[[Tensor], Tensor]) -> Callable[[int], dict[str, Tensor]]:
    """The tokens of a seed, with one tensor changed."""

    def make(seed: int) -> dict[str, Tensor]:
        good = tokens(seed)
        return good | {name: change(good[name])}

    return make


MALFORMED: dict[str, Callable[[int], Any]] = {
    "a tensor instead of a mapping": lambda seed: tokens(seed)["input_ids"],
    "nothing": lambda seed: {},
    "no input_ids": lambda seed: {"attention_mask": tokens(seed)["attention_mask"]},
    "no segments": lambda seed: {name: value[:0] for name, value in tokens(seed).items()},
    "a list instead of a tensor": lambda seed: {"input_ids": tokens(seed)["input_ids"].tolist()},
    "one dimension": lambda seed: {"input_ids": tokens(seed)["input_ids"][0]},
    "three dimensions": _with("input_ids", lambda ids: ids[..., None]),
    "empty segments": lambda seed: {name: value[:, :0] for name, value in tokens(seed).items()},
    "numbers with fractions as tokens": _with("input_ids", lambda ids: ids.float()),
    "a token above the vocabulary": _with("input_ids", lambda ids: ids + VOCABULARY),
    "a token below 0": _with("input_ids", lambda ids: ids - VOCABULARY),
    "segments longer than the model's context": lambda seed: {
        "input_ids": tokens(seed)["input_ids"].repeat(1, 1 + LIMIT // LENGTH)
    },
    "fewer masks than segments": _with("attention_mask", lambda mask: mask[1:]),
    "a mask of another length": _with("attention_mask", lambda mask: mask[:, 1:]),
    "a mask that is neither 0 nor 1": _with("attention_mask", lambda mask: mask * 2),
    "a segment of padding only": _with(
        "attention_mask", lambda mask: mask * (torch.arange(SEGMENTS) > 0)[:, None]
    ),
}
"""What is no calibration text, by what is wrong with it: made from a seed."""
