"""PAWN's head: its size, its identities and its training."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from etude.errors import InputError
from etude.explain.detection import Pawn
from etude.explain.detection.network import Head, batch, parameter_count
from etude.explain.detection.quality import auroc
from etude.explain.detection.reading import Reader, Reading
from etude.explain.examples import WIDTH, grouped, tokenizer

TEXTS = ["w3 w7 w11 w5 w2 w9 w9", "w1 w2", "w30 w4 w4 w4"]


@pytest.fixture(scope="module")
def readings() -> list[Reading]:
    return Reader(grouped(), tokenizer()).read(TEXTS)


def head(variant: Any = "pawn", **others: Any) -> Head:
    torch.manual_seed(0)
    return Head(WIDTH, hidden=8, features=8, gates=4, variant=variant, **others).eval()


@pytest.mark.parametrize(("width", "numbers"), [(768, 989_185), (2048, 1_644_545), (576, 890_881)])
def test_heads_are_as_large_as_the_papers(width: int, numbers: int) -> None:
    assert parameter_count(Head(width)) == numbers


def test_weights_sum_to_one_over_each_text_for_every_gate(readings: list[Reading]) -> None:
    texts = batch(readings)
    weights = head().weights(texts)
    assert weights.shape == (3, 6, 4)
    assert torch.allclose(weights.sum(1), torch.ones(3, 4), atol=1e-6)
    assert (weights[~texts.valid] == 0).all()


@pytest.mark.parametrize("variant", ["pawn", "sigmoid", "mean", "hidden"])
def test_padding_and_order_change_no_logit(readings: list[Reading], variant: Any) -> None:
    with torch.no_grad():
        net = head(variant)
        together = net(batch(readings))
        alone = torch.cat([net(batch([reading])) for reading in readings])
        turned = net(batch(readings[::-1]))
    assert torch.allclose(together, alone, atol=1e-5)
    assert torch.allclose(together, turned.flip(0), atol=1e-5)


def test_gates_that_are_all_alike_give_the_mean(readings: list[Reading]) -> None:
    gated, mean = head(), head("mean")
    torch.nn.init.zeros_(gated.gate.last.weight)
    mean.load_state_dict({k: v for k, v in gated.state_dict().items() if not k.startswith("gate")})
    with torch.no_grad():
        assert torch.allclose(gated(batch(readings)), mean(batch(readings)), atol=1e-6)


def test_hidden_states_cannot_leak_past_equal_metrics(readings: list[Reading]) -> None:
    same = [replace(r, metrics=torch.ones_like(r.metrics)) for r in readings]
    others = [replace(r, hidden=torch.randn_like(r.hidden)) for r in same]
    with torch.no_grad():
        assert torch.allclose(head()(batch(same)), head()(batch(others)), atol=1e-5)


def test_the_gate_sees_this_state_the_next_and_the_place(readings: list[Reading]) -> None:
    context = batch(readings).context[0]
    hidden = readings[0].hidden.float()
    assert torch.equal(context[2, :WIDTH], hidden[2])
    assert torch.equal(context[2, WIDTH : 2 * WIDTH], hidden[3])
    assert float(context[2, -1]) == pytest.approx(2 / 512)


def test_dropped_tokens_count_nothing_but_never_all(readings: list[Reading]) -> None:
    net = head(token_dropout=0.999).train()
    weights = net.weights(batch(readings))
    assert torch.allclose(weights.sum(1), torch.ones(3, 4), atol=1e-6)
    torch.manual_seed(0)
    many = head(token_dropout=0.15).train()
    counts = torch.stack([(many.weights(batch(readings[:1])) == 0)[0, :, 0].float() for _ in range(2000)])
    assert float(counts.mean()) == pytest.approx(0.15, abs=0.02)


@pytest.mark.parametrize("variant", ["pawn", "sigmoid", "mean", "hidden"])
def test_training_tells_two_kinds_of_text(
    variant: Any, sharp: Any, texts: tuple[list[str], list[int]]
) -> None:
    torch.manual_seed(0)
    readings = Reader(sharp, tokenizer()).read(texts[0])
    method = Pawn(variant=variant, hidden=16, features=16, gates=16, epochs=30, batch=8, rate=3e-3)
    scores = method.fit(readings, texts[1])(readings)
    assert auroc(scores, torch.tensor(texts[1])) > 0.9


def test_the_loss_weighs_machines_by_what_is_missing_of_them(readings: list[Reading]) -> None:
    """One machine text beside two of people counts twice; given by hand, the same head comes out."""
    labels = [1, 0, 0]
    heads = []
    for weight in (None, 2.0, 1.0):
        torch.manual_seed(0)
        small = Pawn(hidden=8, features=8, gates=8, epochs=2, positive_weight=weight)
        heads.append(small.fit(readings, labels).tensors["classify.last.weight"])
    assert torch.equal(heads[0], heads[1]) and not torch.equal(heads[0], heads[2])


def test_gates_must_divide_features() -> None:
    with pytest.raises(InputError, match=r"^gates:"):
        Pawn(features=10, gates=4)


def test_a_head_of_another_model_is_refused(readings: list[Reading]) -> None:
    scorer = Pawn(hidden=8, features=8, gates=8, epochs=1).fit(readings, [1, 0, 0])
    wider = [replace(r, hidden=torch.cat([r.hidden, r.hidden], 1)) for r in readings]
    with pytest.raises(InputError, match=r"^readings:"):
        scorer(wider)
