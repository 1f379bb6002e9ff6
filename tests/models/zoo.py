"""Tiny random models of every shape that the walk and the checkpoints must cope with."""

from __future__ import annotations

from typing import Any

import torch
import transformers as hf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

IDS = torch.arange(24).view(2, 12) % 64


def llama(**settings: Any) -> Any:
    return _eval(
        hf.LlamaForCausalLM,
        hf.LlamaConfig(
            **{
                "vocab_size": 64,
                "hidden_size": 32,
                "intermediate_size": 48,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "num_key_value_heads": 2,
                "head_dim": 8,
                "max_position_embeddings": 64,
                "tie_word_embeddings": True,
                "bos_token_id": 0,
                "eos_token_id": 0,
            }
            | settings
        ),
    )


def gpt2() -> Any:
    config = hf.GPT2Config(
        vocab_size=64, n_embd=32, n_layer=2, n_head=4, n_positions=64, bos_token_id=0, eos_token_id=0
    )
    return _eval(hf.GPT2LMHeadModel, config)


def opt() -> Any:
    config = hf.OPTConfig(
        vocab_size=64,
        hidden_size=32,
        word_embed_proj_dim=32,
        ffn_dim=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
    )
    return _eval(hf.OPTForCausalLM, config)


def bert(kind: str = "BertForMaskedLM") -> Any:
    config = hf.BertConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4
    )
    return _eval(getattr(hf, kind), config)


def t5_encoder() -> Any:
    return _eval(
        hf.T5EncoderModel, hf.T5Config(vocab_size=64, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4)
    )


def vit() -> Any:
    config = hf.ViTConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=16,
        patch_size=8,
        num_labels=3,
    )
    return _eval(hf.ViTForImageClassification, config)


ZOO = {
    "llama": llama,
    "llama with biases, untied": lambda: llama(attention_bias=True, mlp_bias=True, tie_word_embeddings=False),
    "gpt2": gpt2,
    "opt": opt,
    "bert masked": bert,
    "bert classifier": lambda: bert("BertForSequenceClassification"),
    "bert encoder": lambda: bert("BertModel"),
    "t5 encoder": t5_encoder,
    "vit": vit,
}


def outputs(model: Any) -> torch.Tensor:
    """A model's logits, or the hidden states of a bare encoder."""
    inputs = {"input_ids": IDS}
    if model.main_input_name == "pixel_values":
        inputs = {"pixel_values": torch.linspace(-1, 1, 2 * 3 * 16 * 16).view(2, 3, 16, 16)}
    with torch.no_grad():
        result = model(**inputs)
    return result.logits if "logits" in result else result.last_hidden_state


def same(a: Any, b: Any) -> bool:
    """Whether two models give the same outputs to the last bit."""
    return bool((outputs(a) == outputs(b)).all())


def byte_tokenizer() -> Any:
    """Every byte a token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate([*alphabet, "<end>"])}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", bos_token="<end>")


def _eval(kind: Any, config: Any) -> Any:
    torch.manual_seed(0)
    model = kind(config).eval()
    for parameter in model.parameters():  # no zeros: a lost bias must be seen
        if parameter.ndim == 1:
            parameter.data += 0.1 * torch.randn_like(parameter)
    return model
