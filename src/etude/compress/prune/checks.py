"""What every pruning method is checked on: tiny models of the kinds that exist, and what may be wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from etude import models
from etude.method import hints
from etude.seeds import seeded
from etude.task import Example

VOCABULARY, LENGTH, SEGMENTS, LIMIT = 64, 16, 6, 32
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": LIMIT,
}


def grouped() -> Any:
    """A LLaMA with grouped-query attention and tied embeddings, without biases."""
    from transformers import LlamaConfig, LlamaForCausalLM

    return _seeded(
        lambda: LlamaForCausalLM(LlamaConfig(**SIZES, num_key_value_heads=2, tie_word_embeddings=True))
    )


def biased() -> Any:
    """A LLaMA with a key and a value for every query, biases and its own output embedding."""
    from transformers import LlamaConfig, LlamaForCausalLM

    biases: dict[str, Any] = {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": False}
    return _seeded(lambda: LlamaForCausalLM(LlamaConfig(**SIZES, **biases)))


def fused() -> Any:
    """A GPT-2: query, key and value in one transposed layer, biases, positions that are learned."""
    from transformers import GPT2Config, GPT2LMHeadModel

    sizes: dict[str, Any] = {
        "n_embd": 32,
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


def _seeded(make: Callable[[], nn.Module]) -> nn.Module:
    """A model whose biases and norms are random too, so that nothing is zero by chance."""
    with seeded(0):
        model = make().eval()
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.data += 0.1 * torch.randn_like(parameter)
        return model


@dataclass(frozen=True)
class PruneChecks:
    """See `etude.task.Checks`."""

    verb: str = "prune"
    edits: Sequence[str] = ("model",)

    def examples(self) -> Sequence[Example]:
        """One model of each kind; only one that fuses its projections may be refused."""
        return [
            Example("a model with grouped-query attention and tied embeddings", _arguments(grouped)),
            Example("a model with biases and untied embeddings", _arguments(biased)),
            Example("a model with fused projections", _arguments(fused), refusable=True),
        ]

    def malformed(self) -> Sequence[Example]:
        """Calibration and domain text that is no such thing, and a model without blocks."""
        examples = [
            Example(name, _arguments(grouped, **{field: bad(seed)}), wrong=field)
            for field, seed in (("calibration", 1), ("domain", 2))
            for name, bad in _MALFORMED.items()
        ]
        return [
            *examples,
            Example("no second text", _arguments(grouped, domain=None), wrong="domain"),
            Example("segments of the calibration", _arguments(grouped, domain=tokens(1)), wrong="domain"),
            Example("no blocks", _arguments(lambda: nn.Sequential(nn.Linear(2, 2))), wrong="model"),
        ]

    def identity(self, method: Any) -> Mapping[str, Any] | None:
        """Remove nothing: sparsity 0 or ratio 0."""
        shares: dict[str, Any] = {name: 0.0 for name in ("sparsity", "ratio") if name in hints(method)}
        return shares or ({} if method.name == "dense" else None)

    def outcome(self, arguments: Mapping[str, Any], returned: Any) -> Any:
        """The model."""
        return arguments["model"]

    def look(self, outcome: Any) -> Any:
        """What the model predicts."""
        with torch.no_grad():
            return {"logits": outcome(**tokens(3)).logits}

    def reload(self, outcome: Any, folder: Path) -> Any:
        """Through `etude.models.save` and `load`."""
        models.save(outcome, None, folder)
        return models.load(folder)[0]


def _arguments(model: Callable[[], nn.Module], **others: Any) -> Callable[[], dict[str, Any]]:
    return lambda: {"model": model(), "calibration": tokens(1), "domain": tokens(2)} | others


def _with(name: str, change: Callable[[Tensor], Tensor]) -> Callable[[int], dict[str, Tensor]]:
    """The tokens of a seed, with one tensor changed."""

    def make(seed: int) -> dict[str, Tensor]:
        good = tokens(seed)
        return good | {name: change(good[name])}

    return make


_MALFORMED: dict[str, Callable[[int], Any]] = {
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

CHECKS = PruneChecks()
