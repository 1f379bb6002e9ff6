"""The small encoder: made from a large one's words, and ready to compare texts."""

from __future__ import annotations

import random

import pytest
import torch
from transformers import BertConfig, BertModel

from etude.errors import InputError
from etude.models import load
from etude.models.mini_bert import drawn
from etude.models.scorer import load_scorer

SIZES = {"hidden_size": 32, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}


def test_a_token_attends_to_its_like() -> None:
    model = drawn(BertModel(BertConfig(vocab_size=64, **SIZES)), width=16, layers=1, heads=1)
    model.set_attn_implementation("eager")
    ids = torch.tensor([[5, 9, 5, 7]])
    with torch.no_grad():
        attention = model(input_ids=ids, output_attentions=True).attentions[0][0, 0]
    assert attention[0, [0, 2]].sum() > 0.9


def test_it_is_the_same_every_time_and_draws_from_nobody() -> None:
    source = BertModel(BertConfig(vocab_size=64, **SIZES))
    torch.manual_seed(1)
    first = drawn(source, width=16, layers=1, heads=1)
    rest = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), rest)
    second = drawn(source, width=16, layers=1, heads=1)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_an_encoder_gets_a_head_and_keeps_all_else() -> None:
    encoder, _ = load("nano-bert")
    scorer, _ = load_scorer("nano-bert")
    ids = torch.tensor([[2, 9, 8, 3]])
    with torch.no_grad():
        expected = encoder.base_model(input_ids=ids).last_hidden_state
        assert torch.equal(scorer.base_model(input_ids=ids).last_hidden_state, expected)
        assert scorer(input_ids=ids).logits.shape == (1, 1)


def test_a_classifier_of_several_classes_is_no_cross_encoder(tmp_path: object) -> None:
    from transformers import BertForSequenceClassification

    folder = f"{tmp_path}/classes"
    BertForSequenceClassification(BertConfig(vocab_size=64, num_labels=3, **SIZES)).save_pretrained(folder)
    _, tokenizer = load("nano-bert")
    tokenizer.save_pretrained(folder)
    with pytest.raises(InputError, match="model: gives 3 numbers"):
        load_scorer(folder)


@pytest.mark.slow
def test_a_few_lessons_teach_it_where_words_come_from() -> None:
    from etude.data.sources import load as load_text
    from etude.models.mini_cross import teach, triples

    model, tokenizer = load_scorer("mini-bert")
    novels = load_text("novels", "calibration")
    teach(model, tokenizer, novels, steps=40)
    lessons = triples(load_text("novels", "evaluation"), 40, random.Random(1))
    scores = [
        model(**tokenizer([query, query], [passage, other], padding=True, return_tensors="pt")).logits[:, 0]
        for query, passage, other in lessons
    ]
    assert sum(bool(better > worse) for better, worse in scores) > 36
