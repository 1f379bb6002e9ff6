"""Identities of the soft measures."""

from __future__ import annotations

import math

import pytest
import torch

from etude.explain.attribution.faithfulness import distance, hard, soft
from etude.explain.attribution.probe import Probe
from etude.explain.examples import grouped, tokenizer

PROMPT = torch.tensor([3, 7, 11, 5, 2, 9])


@pytest.fixture
def probe() -> Probe:
    return Probe(grouped(), tokenizer(), PROMPT)


def test_with_everything_kept_nothing_is_lost(probe: Probe) -> None:
    found = soft(probe, torch.ones(6), draws=3)
    assert found.sufficiency == pytest.approx(1.0, abs=1e-6)
    assert found.ns == pytest.approx(1.0, abs=1e-5)
    assert found.comprehensiveness == pytest.approx(1 - found.nothing, abs=1e-6)
    assert found.nc == pytest.approx(1.0, abs=1e-5)


def test_with_nothing_kept_both_are_zero(probe: Probe) -> None:
    found = soft(probe, torch.zeros(6), draws=3)
    assert found.ns == pytest.approx(0.0, abs=1e-6)
    assert found.nc == pytest.approx(0.0, abs=1e-5)


def test_the_distance_is_the_squared_hellinger_one_times_root_two() -> None:
    p, q = torch.tensor([0.2, 0.8]), torch.tensor([0.5, 0.5])
    hellinger = 0.5 * ((p.sqrt() - q.sqrt()) ** 2).sum()
    assert float(distance(p, q)) == pytest.approx(float(math.sqrt(2) * hellinger), rel=1e-6)
    apart = distance(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]))
    assert float(apart) == pytest.approx(math.sqrt(2), rel=1e-6)


def test_zeros_fall_on_numbers_not_on_tokens(probe: Probe) -> None:
    """With chance one half, half of a token's numbers are kept: the mean over draws is half of each."""
    torch.manual_seed(0)
    embeddings = probe.embeddings
    kept = embeddings * (torch.rand(4000, *embeddings.shape) < 0.5)
    assert torch.allclose(kept.mean(0), embeddings / 2, atol=0.02)
    some = kept[0] != 0
    assert some.any(1).all() and not some.all(1).any()


def test_erasing_everything_is_like_an_empty_prompt(probe: Probe) -> None:
    comprehensiveness, sufficiency = hard(probe, torch.arange(6.0))
    nothing = probe.probability - float(probe.next(0 * probe.embeddings[None])[0, probe.target])
    assert abs(comprehensiveness) <= 1 and abs(sufficiency) <= 1
    assert sufficiency != pytest.approx(nothing)
