"""Zero-shot scores against their definitions."""

from __future__ import annotations

import math

import pytest
import torch

from etude.explain.detection import (
    GLTR,
    LRR,
    Binoculars,
    Entropy,
    FastDetectGPT,
    LogLikelihood,
    LogRank,
    Rank,
)
from etude.explain.detection.logistic import logistic
from etude.explain.detection.reading import Reader
from etude.explain.examples import biased, grouped, tokenizer

TEXTS = ["w3 w7 w11 w5 w2 w9 w9", "w1 w2 w8", "w30 w4 w4 w4"]


def test_fast_detectgpt_is_the_z_score_of_sampled_texts() -> None:
    model = grouped()
    readings = Reader(model, tokenizer()).read(TEXTS)
    ours = FastDetectGPT().fit(readings)(readings)
    torch.manual_seed(0)
    for reading, score in zip(readings, ours.tolist(), strict=True):
        with torch.no_grad():
            logs = model(input_ids=reading.ids[None]).logits[0, :-1].log_softmax(1)
        drawn = torch.multinomial(logs.exp(), 40_000, replacement=True)
        totals = logs.gather(1, drawn).sum(0)
        own = logs.gather(1, reading.ids[1:, None]).sum()
        assert score == pytest.approx(float((own - totals.mean()) / totals.std()), abs=0.03)


def test_binoculars_of_one_model_divide_by_its_entropy() -> None:
    readings = Reader(grouped(), tokenizer()).read(TEXTS)
    scores = Binoculars().fit(readings)(readings)
    for reading, score in zip(readings, scores.tolist(), strict=True):
        surprise = -reading.metric("next_token_log_probs").mean()
        assert score == pytest.approx(-float(surprise / -reading.metric("entropy").mean()), rel=1e-5)


def test_binoculars_cross_two_models() -> None:
    model, other = grouped(), biased()
    readings = Reader(model, tokenizer(), observer=other).read(TEXTS)
    scores = Binoculars().fit(readings)(readings)
    for reading, score in zip(readings, scores.tolist(), strict=True):
        with torch.no_grad():
            logs = model(input_ids=reading.ids[None]).logits[0, :-1].log_softmax(1)
            drawn = other(input_ids=reading.ids[None]).logits[0, :-1].softmax(1)
        surprise = -logs.gather(1, reading.ids[1:, None]).mean()
        crossed = -(drawn * logs).sum(1).mean()
        assert score == pytest.approx(-float(surprise / crossed), rel=1e-4)


def test_likelihood_rank_and_their_ratio() -> None:
    readings = Reader(grouped(), tokenizer()).read(TEXTS)
    likelihood, rank, ratio = (cls().fit(readings)(readings) for cls in (LogLikelihood, LogRank, LRR))
    plain = Rank().fit(readings)(readings)
    for number, reading in enumerate(readings):
        assert plain[number] == pytest.approx(-float(reading.ranks.mean()), rel=1e-5)
        mean = float(reading.metric("next_token_log_probs").mean())
        ranks = float(reading.ranks.log().mean())
        assert [likelihood[number], rank[number]] == pytest.approx([mean, -ranks], rel=1e-5)
        assert ratio[number] == pytest.approx(-mean / ranks, rel=1e-5)


@pytest.mark.parametrize(("labels", "sign"), [([1, 0, 0], 1.0), ([0, 1, 1], -1.0)])
def test_entropy_takes_the_side_of_the_labels(labels: list[int], sign: float) -> None:
    readings = Reader(grouped(), tokenizer()).read(TEXTS)
    means = torch.stack([-reading.metric("entropy").mean() for reading in readings])
    if means[0] < means[1:].mean():
        sign = -sign
    assert float(Entropy().fit(readings, labels).tensors["sign"]) == sign


def test_gltr_counts_ranks_in_four_ranges() -> None:
    readings = Reader(grouped(), tokenizer()).read(TEXTS)
    from etude.explain.detection.gltr import _shares

    shares = _shares(readings)
    assert shares.sum(1).tolist() == pytest.approx([1.0] * 3)
    assert float(shares[0, 0]) == pytest.approx(float((readings[0].ranks <= 10).double().mean()))
    assert GLTR().fit(readings, [0, 1, 1]).tensors["coefficients"].shape == (4,)


def test_logistic_is_scikit_learns() -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    torch.manual_seed(0)
    x = torch.randn(60, 3, dtype=torch.float64)
    y = (x[:, 0] + torch.randn(60, dtype=torch.float64) > 0.3).double()
    coefficients, intercept = logistic(x, y, ridge=0.5)
    theirs = linear.LogisticRegression(C=2.0, tol=1e-10, max_iter=1000).fit(x.numpy(), y.numpy())
    assert coefficients.tolist() == pytest.approx(theirs.coef_[0].tolist(), abs=1e-5)
    assert float(intercept) == pytest.approx(float(theirs.intercept_[0]), abs=1e-5)


def test_logistic_stays_finite_where_classes_are_apart() -> None:
    x = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    coefficients, intercept = logistic(x, torch.tensor([0.0, 1.0], dtype=torch.float64), ridge=1e-6)
    assert math.isfinite(float(coefficients)) and abs(float(intercept)) < 1e-6
