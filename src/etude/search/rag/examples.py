"""Tiny language models that know no English: for checks."""

from __future__ import annotations

from typing import Any

from etude.search.generator import Generator
from etude.seeds import seeded

_WORDS, _WIDTH = 64, 16


def causal() -> Generator:
    """A LLaMA of 96 positions."""
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes: dict[str, Any] = {"hidden_size": _WIDTH, "intermediate_size": 32, "max_position_embeddings": 96}
    config = LlamaConfig(**sizes, **_ENDS, num_hidden_layers=2, num_attention_heads=2)
    return _made(LlamaForCausalLM, config)


def learned_positions() -> Generator:
    """A GPT-2 of 96 positions."""
    from transformers import GPT2Config, GPT2LMHeadModel

    sizes: dict[str, Any] = {"n_embd": _WIDTH, "n_layer": 2, "n_head": 2, "n_positions": 96}
    return _made(GPT2LMHeadModel, GPT2Config(**sizes, **_ENDS))


def encoder_decoder() -> Generator:
    """A T5."""
    from transformers import T5Config, T5ForConditionalGeneration

    sizes: dict[str, Any] = {"d_model": _WIDTH, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
    ends: dict[str, Any] = {**_ENDS, "decoder_start_token_id": 0, "pad_token_id": 0}
    return _made(T5ForConditionalGeneration, T5Config(**sizes, **ends))


_ENDS: dict[str, Any] = {"vocab_size": _WORDS, "bos_token_id": 1, "eos_token_id": 1}


def _made(cls: Any, config: Any) -> Generator:
    with seeded(0):
        return Generator(cls(config).eval(), _tokenizer())


def _tokenizer() -> Any:
    """Words ``w2`` to ``w62``, one for all others, and what ends a text."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {"<unk>": 0, "<end>": 1} | {f"w{number}": number for number in range(2, _WORDS)}
    made = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=made, unk_token="<unk>", eos_token="<end>"
    )
