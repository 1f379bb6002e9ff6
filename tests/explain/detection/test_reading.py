"""What a reader says of a text, against the model's own numbers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch

from etude.errors import InputError
from etude.explain.detection.reading import Reader, opened
from etude.explain.examples import LIMIT, VOCABULARY, biased, fused, grouped, tokenizer

TEXTS = ["w3 w7 w11 w5 w2 w9 w9", "w1 w2", "w30 w4 w4 w4"]


@pytest.mark.parametrize("kind", [grouped, biased, fused])
def test_metrics_are_those_of_the_models_distribution(kind: Any) -> None:
    model = kind()
    reading = Reader(model, tokenizer()).read(TEXTS)[0]
    with torch.no_grad():
        logs = model(input_ids=reading.ids[None]).logits[0, :-1].log_softmax(1)
    for place, (row, token) in enumerate(zip(logs, reading.ids[1:].tolist(), strict=True)):
        chances = row.exp()
        at_least = chances >= chances[token]
        wanted = [
            float((chances * row).sum()),
            float(row.max()),
            float(row[token]),
            float(at_least.sum()) / VOCABULARY,
            float(chances[at_least].sum()),
        ]
        assert reading.metrics[place].tolist() == pytest.approx(wanted, abs=1e-5)
        assert reading.moments[place, 0] == pytest.approx(wanted[0], abs=1e-5)
        variance = float((chances * (row - wanted[0]) ** 2).sum())
        assert reading.moments[place, 1] == pytest.approx(variance, abs=1e-5)


def test_perplexity_is_that_of_transformers_loss() -> None:
    model = grouped()
    reading = Reader(model, tokenizer()).read(TEXTS)[0]
    with torch.no_grad():
        loss = model(input_ids=reading.ids[None], labels=reading.ids[None]).loss
    assert -float(reading.metric("next_token_log_probs").mean()) == pytest.approx(float(loss), abs=1e-5)


def test_the_likeliest_token_has_rank_one_and_its_own_probability() -> None:
    model = grouped()
    start = [3, 7]
    with torch.no_grad():
        best = int(model(input_ids=torch.tensor([start])).logits[0, -1].argmax())
    reading = Reader(model, tokenizer()).read_tokens([[*start, best]])[0]
    assert reading.ranks[-1] == 1
    assert reading.metric("quantile")[-1] == pytest.approx(1 / VOCABULARY)
    assert reading.metric("top_p")[-1] == pytest.approx(
        math.exp(reading.metric("max_log_probs")[-1]), abs=1e-6
    )
    assert (reading.metric("next_token_log_probs") <= reading.metric("max_log_probs")).all()


@pytest.mark.parametrize("kind", [grouped, fused])
def test_hidden_states_are_what_the_head_sees(kind: Any) -> None:
    model = kind()
    reading = Reader(model, tokenizer()).read(TEXTS)[0]
    with torch.no_grad():
        logits = model(input_ids=reading.ids[None]).logits[0]
        again = model.get_output_embeddings()(reading.hidden.float())
    assert torch.allclose(again, logits, atol=5e-3)


def test_reading_side_by_side_changes_nothing() -> None:
    reader = Reader(grouped(), tokenizer())
    for together, text in zip(reader.read(TEXTS), TEXTS, strict=True):
        alone = reader.read([text])[0]
        assert torch.allclose(together.metrics, alone.metrics, atol=1e-5)
        assert torch.allclose(together.hidden.float(), alone.hidden.float(), atol=1e-3)


def test_an_observer_draws_and_the_model_scores() -> None:
    model, other = grouped(), biased()
    reading = Reader(model, tokenizer(), observer=other).read(TEXTS)[0]
    with torch.no_grad():
        logs = model(input_ids=reading.ids[None]).logits[0, :-1].log_softmax(1)
        drawn = other(input_ids=reading.ids[None]).logits[0, :-1].softmax(1)
    assert torch.allclose(reading.moments[:, 0], (drawn * logs).sum(1), atol=1e-5)


def test_what_is_cached_is_not_read_again(tmp_path: Path) -> None:
    reader = Reader(grouped(), tokenizer(), cache=tmp_path)
    first = reader.read(TEXTS)
    with patch.object(reader, "_read", side_effect=AssertionError("read again")):
        again = reader.read(TEXTS)
    for one, other in zip(first, again, strict=True):
        assert all(
            torch.equal(getattr(one, name), getattr(other, name))
            for name in ("metrics", "moments", "hidden", "ids")
        )
        assert one.vocabulary == other.vocabulary
    assert not list(tmp_path.rglob("*.partial"))


def test_another_model_has_another_place_in_the_cache() -> None:
    assert opened("nano-llama").cache != opened("nano-llama", observer="nano-llama").cache


def test_long_texts_are_read_in_windows() -> None:
    reader = Reader(grouped(), tokenizer(), length=8)
    long = " ".join(f"w{n % 31 + 1}" for n in range(20))
    assert len(reader.read([long])[0].ids) == 8
    readings, owners = reader.windows([long, "w1 w2"])
    assert [len(reading.ids) for reading in readings] == [8, 8, 4, 2]
    assert owners == [0, 0, 0, 1]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "one or more texts"),
        ("w1 w2", "not a list"),
        (["w1 w2", 3], "number 1 is int, not text"),
        (["w1 w2", "w1"], "number 1 has 1 tokens"),
    ],
)
def test_what_is_no_text_is_refused(texts: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Reader(grouped(), tokenizer()).read(texts)


def test_an_observer_of_another_vocabulary_is_refused() -> None:
    from etude import models

    with pytest.raises(InputError, match=r"^observer:"):
        Reader(grouped(), tokenizer(), observer=models.load("nano-llama")[0])


def test_a_length_beyond_the_context_is_refused() -> None:
    with pytest.raises(InputError, match=r"^length:"):
        Reader(grouped(), tokenizer(), length=LIMIT + 1)
