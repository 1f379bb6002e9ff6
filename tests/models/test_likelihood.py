"""Perplexity is what the definition says, to the precision of float32."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.models import zoo
from torch import Tensor

from etude.errors import InputError
from etude.models.likelihood import perplexity, segment_losses, token_losses

STREAM = torch.randint(64, (101,), generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def by_hand(model: Any, ids: Tensor, counted: int) -> list[float]:
    """Losses in float64 of the last ``counted`` tokens of one row, each written out."""
    logits = model(input_ids=ids[None]).logits[0].double()
    losses = []
    for at in range(len(ids) - counted, len(ids)):
        scores = logits[at - 1]
        losses.append(math.log(float(scores.exp().sum())) - float(scores[ids[at]]))
    return losses


@pytest.mark.parametrize("kind", ["llama", "gpt2", "opt"])
def test_segments_against_a_hand_computation(kind: str) -> None:
    model = zoo.ZOO[kind]()
    losses = [loss for at in range(0, 96, 16) for loss in by_hand(model, STREAM[at : at + 16], 15)]
    expected = math.exp(sum(losses) / len(losses))
    assert perplexity(model, STREAM, length=16) == pytest.approx(expected, rel=1e-6)
    assert perplexity(model, STREAM[:96].view(6, 16)) == pytest.approx(expected, rel=1e-6)


def test_sliding_windows_against_a_hand_computation() -> None:
    model = zoo.llama()
    losses = by_hand(model, STREAM[:16], 15)
    for begin in range(5, 101, 5):  # windows of 16 that move by 5 until one reaches the end
        end = min(begin + 16, 101)
        new = end - min(begin + 11, 101)
        losses += by_hand(model, STREAM[begin:end], new) if new else []
        if end == 101:
            break
    assert len(losses) == 100
    expected = math.exp(sum(losses) / 100)
    assert perplexity(model, STREAM, length=16, stride=5) == pytest.approx(expected, rel=1e-6)


def test_segments_against_the_loss_of_transformers() -> None:
    model = zoo.llama()
    segments = STREAM[:96].view(6, 16)
    losses = segment_losses(model, segments)
    with torch.no_grad():
        expected = [float(model(input_ids=row[None], labels=row[None]).loss) for row in segments]
    assert losses.dtype == torch.float64
    assert losses.tolist() == pytest.approx(expected, rel=1e-5)
    assert perplexity(model, segments) == pytest.approx(math.exp(float(losses.mean())), rel=1e-12)


def test_a_uniform_model_has_the_perplexity_of_its_vocabulary() -> None:
    model = zoo.llama(tie_word_embeddings=False)
    model.lm_head.weight.data.zero_()
    assert perplexity(model, STREAM, length=32) == pytest.approx(64, rel=1e-6)


def test_a_model_that_knows_the_answer_has_perplexity_one() -> None:
    model = zoo.llama(tie_word_embeddings=False, hidden_size=64, head_dim=16)
    for layer in model.model.layers:
        layer.self_attn.o_proj.weight.data.zero_()
        layer.mlp.down_proj.weight.data.zero_()
    model.model.embed_tokens.weight.data = 100 * torch.eye(64)
    model.lm_head.weight.data = 100 * torch.eye(64).roll(1, 0)  # after token i comes token i + 1
    model.model.norm.weight.data.fill_(1)
    counting = torch.arange(64)
    assert perplexity(model, counting, length=64) == pytest.approx(1, abs=1e-6)
    assert perplexity(model, counting.flip(0), length=64) == math.inf


@settings(max_examples=15, deadline=None)
@given(
    length=st.integers(2, 32),
    stride=st.one_of(st.none(), st.integers(1, 31)),
    batch=st.integers(1, 9),
    tokens=st.integers(40, 101),
)
def test_the_batch_changes_nothing_and_every_token_counts_once(
    length: int, stride: int | None, batch: int, tokens: int
) -> None:
    if stride is not None and stride >= length:
        stride = length - 1
    model, ids = zoo.llama(), STREAM[:tokens]
    found = perplexity(model, ids, length=length, stride=stride, batch=batch)
    assert found == pytest.approx(perplexity(model, ids, length=length, stride=stride, batch=1), rel=1e-5)
    uniform = zoo.llama(tie_word_embeddings=False)
    uniform.lm_head.weight.data.zero_()
    assert perplexity(uniform, ids, length=length, stride=stride, batch=batch) == pytest.approx(64, rel=1e-6)


def test_text_needs_its_tokenizer() -> None:
    model, tokenizer = zoo.llama(vocab_size=300), zoo.byte_tokenizer()
    text = "Call me Ishmael. Some years ago"
    ids = torch.tensor(tokenizer(text)["input_ids"])
    assert perplexity(model, text, tokenizer, length=8) == perplexity(model, ids, length=8)
    with pytest.raises(InputError, match="tokenizer: "):
        perplexity(model, text, length=8)


def test_mode_and_gradients_are_left_as_they_were() -> None:
    model = zoo.llama(attention_dropout=0.5).train()
    first = perplexity(model, STREAM, length=16)
    assert model.training
    assert first == perplexity(model, STREAM, length=16)
    assert not token_losses(model, STREAM[None, :16]).requires_grad


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"length": 102}, "length"),
        ({"length": 65}, "length"),  # more than the model's 64 positions
        ({"length": 1}, "length"),
        ({}, "length"),
        ({"length": 16, "stride": 16}, "stride"),
        ({"length": 16, "stride": 0}, "stride"),
    ],
)
def test_arguments_that_make_no_sense(arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError) as caught:
        perplexity(zoo.llama(), STREAM, **arguments)
    assert caught.value.field == field


def test_tokens_that_make_no_sense() -> None:
    model = zoo.llama()
    for tokens in (STREAM + 64, STREAM - 64, STREAM.float(), STREAM[:1], STREAM[None, None], STREAM[:0]):
        with pytest.raises(InputError, match="tokens: "):
            perplexity(model, tokens, length=16)
    with pytest.raises(InputError, match="length: 8 is not that of the segments, 16"):
        perplexity(model, STREAM[:96].view(6, 16), length=8)


@pytest.mark.parametrize("kind", ["bert masked", "bert classifier", "t5 encoder", "vit"])
def test_only_causal_models_have_a_perplexity(kind: str) -> None:
    with pytest.raises(InputError, match=r"model: .* no next token"):
        perplexity(zoo.ZOO[kind](), STREAM, length=16)
