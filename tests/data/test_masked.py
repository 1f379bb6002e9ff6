"""Batches of masked pre-training."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from etude.data.masked import IGNORED, mask, next_passages, pretraining
from etude.errors import InputError

TOKENIZER = SimpleNamespace(
    cls_token_id=1, sep_token_id=2, mask_token_id=3, all_special_ids=[0, 1, 2, 3], vocab_size=1000
)


def segments(rows: int, length: int) -> torch.Tensor:
    """Every token tells its row."""
    return (10 + torch.arange(rows))[:, None].expand(rows, length).clone()


def test_half_of_the_pairs_are_strangers() -> None:
    batch = next_passages(segments(10, 7), TOKENIZER, torch.Generator().manual_seed(0))
    first, second = batch["input_ids"][:, 1], batch["input_ids"][:, -2]
    assert batch["next_sentence_label"].tolist() == (first != second).long().tolist()
    assert int(batch["next_sentence_label"].sum()) == 5
    assert sorted(second.tolist()) == sorted(first.tolist())
    assert batch["input_ids"].shape == (10, 10)
    assert batch["token_type_ids"][0].tolist() == [0] * 5 + [1] * 5


def test_of_a_single_pair_nothing_is_swapped() -> None:
    assert next_passages(segments(1, 4), TOKENIZER, torch.Generator())["next_sentence_label"].tolist() == [0]


def test_fifteen_of_a_hundred_tokens_are_hidden_as_bert_hides_them() -> None:
    ids = torch.full((400, 100), 500)
    ids[:, 0], ids[:, -1] = 1, 2
    masked = mask({"input_ids": ids}, TOKENIZER, torch.Generator().manual_seed(0))
    chosen = masked["labels"] != IGNORED
    assert not chosen[:, [0, -1]].any()
    assert chosen[:, 1:-1].double().mean().item() == pytest.approx(0.15, abs=0.005)
    assert (masked["labels"][chosen] == 500).all()
    assert torch.equal(masked["input_ids"][~chosen], ids[~chosen])
    hidden = masked["input_ids"][chosen]
    assert (hidden == 3).double().mean().item() == pytest.approx(0.8, abs=0.02)
    assert (hidden == 500).double().mean().item() == pytest.approx(0.1, abs=0.02)
    assert not torch.isin(hidden[hidden != 3], torch.tensor(TOKENIZER.all_special_ids)).any()


def test_every_row_has_a_token_to_predict() -> None:
    masked = mask(
        {"input_ids": torch.full((50, 2), 9)}, TOKENIZER, torch.Generator().manual_seed(0), share=0.001
    )
    assert (masked["labels"] != IGNORED).any(1).all()


def test_the_same_seed_gives_the_same_batch() -> None:
    first, again, other = (pretraining(segments(6, 20), TOKENIZER, seed=seed) for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["labels"], other["labels"])


def test_a_tokenizer_without_a_mask_is_refused() -> None:
    with pytest.raises(InputError, match="tokenizer: it has no mask_token"):
        mask({}, SimpleNamespace(cls_token_id=1, sep_token_id=2), torch.Generator())
