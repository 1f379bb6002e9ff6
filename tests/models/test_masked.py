"""Pseudo-perplexity, against one token after the other."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM

from etude.errors import InputError
from etude.models.masked import pseudo_perplexity
from etude.seeds import seeded

TOKENS = SimpleNamespace(cls_token_id=1, sep_token_id=2, mask_token_id=3, all_special_ids=[0, 1, 2, 3])


def bert() -> Any:
    with seeded(0):
        config = BertConfig(
            vocab_size=40, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
        )
        return BertForMaskedLM(config).eval()


def segments() -> torch.Tensor:
    ids = torch.randint(4, 40, (3, 9), generator=torch.Generator().manual_seed(0))
    ids[:, 0], ids[:, -1] = 1, 2
    return ids


def test_each_token_is_predicted_from_all_others() -> None:
    model, losses = bert(), []
    for row in segments():
        for place in range(1, 8):
            hidden = row.clone()
            hidden[place] = 3
            with torch.no_grad():
                losses.append(-model(input_ids=hidden[None]).logits[0, place].log_softmax(-1)[row[place]])
    expected = float(torch.stack(losses).mean().exp())
    assert pseudo_perplexity(model, segments(), TOKENS, apart=9) == pytest.approx(expected, rel=1e-5)
    together = pseudo_perplexity(model, segments(), TOKENS, apart=3)
    assert together == pytest.approx(expected, rel=0.05) and together != expected


def test_a_model_that_knows_nothing_is_as_lost_as_its_vocabulary_is_large() -> None:
    model = bert()
    for parameter in model.cls.parameters():
        parameter.data.zero_()
    assert pseudo_perplexity(model, segments(), TOKENS) == pytest.approx(40)


def test_other_models_are_refused() -> None:
    with pytest.raises(InputError, match="model: BertModel predicts no masked tokens"):
        pseudo_perplexity(bert().base_model, segments(), TOKENS)
