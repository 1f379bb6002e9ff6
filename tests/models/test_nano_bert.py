"""nano-bert: as its card says, in transformers and here; its recipe."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from etude import data
from etude.data.masked import IGNORED, pretraining
from etude.errors import InputError
from etude.models import load
from etude.models.loading import locate
from etude.models.recipes import nano_bert


@torch.no_grad()
def test_it_predicts_masked_tokens_of_authors_it_has_not_read() -> None:
    model, tokenizer = load("nano-bert", architecture="BertForPreTraining")
    segments = data.evaluation("novels", tokenizer, length=125, segments=32)
    tokens, pairs = nano_bert.losses(model, pretraining(segments, tokenizer))
    figures = json.loads((locate("nano-bert") / "figures.json").read_text())
    assert tokens.item() == pytest.approx(figures["test"]["masked_loss"], abs=0.25)
    assert pairs.item() < 0.693


@torch.no_grad()
def test_transformers_loads_it_with_either_head() -> None:
    from transformers import AutoTokenizer, BertForMaskedLM, BertForPreTraining

    folder = locate("nano-bert")
    ours, _ = load("nano-bert")
    batch = AutoTokenizer.from_pretrained(folder)("He took off his [MASK].", return_tensors="pt")
    expected = ours(**batch).logits
    for cls in (BertForMaskedLM, BertForPreTraining):
        theirs, report = cls.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
        assert not report["missing_keys"]
        torch.testing.assert_close(theirs.eval()(**batch)[0], expected)


def test_another_architecture_needs_its_weights(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="lacks 2 tensors"):
        load("nano-bert", architecture="BertForSequenceClassification")
    with pytest.raises(InputError, match="no architecture"):
        load("nano-bert", architecture="BertForNothing")


def test_the_recipe_begins_with_the_next_token_and_goes_on_with_masks() -> None:
    _, tokenizer = load("nano-bert")
    drawn = list(
        nano_bert.batches([list(range(10, 3000))] * 3, tokenizer, 10, torch.Generator().manual_seed(0))
    )
    assert [("labels" in batch) for batch in drawn] == [False] * 4 + [True] * 6
    assert [batch["input_ids"].shape[1] for batch in drawn[:4]] == [64, 64, 64, 128]
    assert all((batch["labels"] != IGNORED).any() for batch in drawn[4:])


@torch.no_grad()
def test_no_token_sees_the_one_that_it_is_to_predict() -> None:
    model, tokenizer = load("nano-bert", architecture="BertForPreTraining")
    batch = next(nano_bert.batches([list(range(10, 3000))], tokenizer, 1, torch.Generator().manual_seed(0)))
    batch = {name: value[:2] for name, value in batch.items()}
    changed = {**batch, "input_ids": batch["input_ids"].clone()}
    changed["input_ids"][:, -1] = 7

    def states(of: dict[str, torch.Tensor]) -> torch.Tensor:
        seen: list[torch.Tensor] = []
        hook = model.bert.encoder.register_forward_hook(
            lambda module, args, output: seen.append(output.last_hidden_state)
        )
        nano_bert.losses(model, of)
        hook.remove()
        return seen[0]

    torch.testing.assert_close(states(batch)[:, :-1], states(changed)[:, :-1])
