"""What every method of binarisation is checked on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from etude import models
from etude.compress.binarize import saving
from etude.compress.binarize.encoder import structure_of
from etude.compress.examples import LENGTH, LIMIT, MALFORMED, SEGMENTS, VOCABULARY
from etude.seeds import seeded
from etude.task import Example

TOKENIZER = SimpleNamespace(
    pad_token_id=0,
    cls_token_id=1,
    sep_token_id=2,
    mask_token_id=3,
    all_special_ids=[0, 1, 2, 3],
    vocab_size=VOCABULARY,
)
"""What a method needs to know of a tokenizer."""

_MASKLESS = SimpleNamespace(cls_token_id=1, sep_token_id=2)

_SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": LIMIT,
    "pad_token_id": 0,
}


def pairs(seed: int = 0) -> Any:
    """A BERT with the heads for masked tokens and for pairs of passages, its embeddings tied."""
    from transformers import BertConfig, BertForPreTraining

    return _seeded(lambda: BertForPreTraining(BertConfig(**_SIZES)), seed)


def masked(seed: int = 0) -> Any:
    """A BERT with the head for masked tokens alone, without a pooler and with dropout."""
    from transformers import BertConfig, BertForMaskedLM

    return _seeded(lambda: BertForMaskedLM(BertConfig(**_SIZES, tie_word_embeddings=False)), seed)


def roberta(seed: int = 0) -> Any:
    """A RoBERTa: positions from 1 on, one kind of segment."""
    from transformers import RobertaConfig, RobertaForMaskedLM

    sizes = _SIZES | {"max_position_embeddings": LIMIT + 1, "type_vocab_size": 2}
    return _seeded(lambda: RobertaForMaskedLM(RobertaConfig(**sizes)), seed)


def corpus(seed: int = 0) -> dict[str, Tensor]:
    """Random segments."""
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(4, VOCABULARY, (SEGMENTS, LENGTH), generator=draw)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


@dataclass(frozen=True)
class BinarizeChecks:
    """See `etude.task.Checks`."""

    verb: str = "binarize"
    edits: Sequence[str] = ("model",)

    def settings(self, method: type[Any]) -> Mapping[str, Any]:
        """Few steps of pre-training, of few segments each."""
        fields = {"steps": 3, "batch": 4}
        return {name: value for name, value in fields.items() if name in method.__dataclass_fields__}

    def examples(self) -> Sequence[Example]:
        """One model of each kind."""
        return [
            Example("a BERT with both heads", _arguments(pairs)),
            Example("a BERT without a pooler", _arguments(masked)),
            Example("a RoBERTa", _arguments(roberta)),
        ]

    def malformed(self) -> Sequence[Example]:
        """A corpus that is no such thing, a model that is no encoder, a tokenizer without a mask."""
        padded = corpus() | {"attention_mask": torch.ones(SEGMENTS, LENGTH).long().triu()}
        return [
            *(
                Example(name, _arguments(pairs, corpus=bad(1)), wrong="corpus")
                for name, bad in MALFORMED.items()
            ),
            Example("padding", _arguments(pairs, corpus=padded), wrong="corpus"),
            Example("no encoder", _arguments(lambda: nn.Sequential(nn.Linear(2, 2))), wrong="model"),
            Example(
                "no mask", _arguments(pairs, tokenizer=SimpleNamespace(cls_token_id=1)), wrong="tokenizer"
            ),
        ]

    def identity(self, method: type[Any]) -> Mapping[str, Any] | None:
        """One bit is never none: only the method that does nothing changes nothing."""
        return {} if method.name == "full-precision-encoder" else None

    def outcome(self, arguments: Mapping[str, Any], returned: Any) -> Any:
        """The model."""
        return arguments["model"]

    def look(self, outcome: Any) -> Any:
        """What the model predicts, first tokens included."""
        with torch.no_grad():
            found = outcome(input_ids=corpus(3)["input_ids"])
        return {name: value for name, value in found.items() if isinstance(value, Tensor)}

    def reload(self, outcome: Any, folder: Path) -> Any:
        """Packed, where it is binary."""
        if structure_of(outcome) is None:
            models.save(outcome, None, folder)
            return models.load(folder)[0]
        saving.save(outcome, None, folder)
        return saving.load(folder)[0]


def _arguments(model: Callable[[], Any], **others: Any) -> Callable[[], dict[str, Any]]:
    return lambda: {"model": model(), "corpus": corpus(), "tokenizer": TOKENIZER} | others


def _seeded(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """A model whose biases and norms are random too, so that nothing is zero by chance."""
    with seeded(seed):
        model = make().eval()
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.data += 0.1 * torch.randn_like(parameter)
        return model


CHECKS = BinarizeChecks()
