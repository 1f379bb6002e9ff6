"""ReAGent against its rules put down plainly, and at its limits."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from etude.errors import InputError
from etude.explain.attribution import ReAGent
from etude.explain.attribution.probe import Probe
from etude.explain.attribution.proposals import proposal
from etude.explain.attribution.reagent import update
from etude.explain.examples import VOCABULARY, grouped, tokenizer

PROMPT = torch.tensor([3, 7, 11, 5, 2, 9])


class Forgetful(torch.nn.Module):
    """A language model that says the same whatever it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = grouped()
        self.config = self.inner.config
        self.saying = torch.linspace(0, 1, VOCABULARY)

    def can_generate(self) -> bool:
        return True

    def get_input_embeddings(self) -> Any:
        return self.inner.get_input_embeddings()

    def forward(self, input_ids: Tensor, use_cache: bool = False) -> Any:
        logits = self.saying.expand(*input_ids.shape, -1)
        return SimpleNamespace(logits=logits)


def test_an_update_multiplies_the_odds_of_replaced_to_kept() -> None:
    mask = torch.tensor([[True, False, True]])
    scores = torch.tensor([[0.3, 1.2, -0.4]])
    fall = torch.tensor([0.4])
    before, after = scores.softmax(1)[0], (scores + update(mask, fall)).softmax(1)[0]
    odds = (after[0] / after[1]) / (before[0] / before[1])
    assert float(odds) == pytest.approx(((1 + 0.4) / (1 - 0.4)) ** 2, rel=1e-5)


@pytest.mark.parametrize("fall", [0.0, 0.7, -0.7])
@pytest.mark.parametrize("replaced", [True, False])
def test_an_update_that_is_the_same_everywhere_changes_no_score(fall: float, replaced: bool) -> None:
    mask = torch.full((1, 4), replaced)
    scores = torch.rand(1, 4)
    after = (scores + update(mask, torch.tensor([fall]))).softmax(1)
    assert torch.allclose(after, scores.softmax(1), atol=1e-6)


def test_an_update_stays_finite_at_the_largest_falls() -> None:
    assert update(torch.tensor([[True, False]] * 2), torch.tensor([1.0, -1.0])).isfinite().all()


def test_with_all_tokens_in_the_top_it_stops_after_one_update() -> None:
    torch.manual_seed(0)
    found = ReAGent(top_k=VOCABULARY, probes=4).attribute(grouped(), tokenizer(), PROMPT)
    assert found.finished == 1.0
    assert found.forwards == 1 + 4 + 8  # the prompt, the first replacements, stop tests and the next ones


def test_a_model_that_ignores_its_prompt_leaves_the_random_start() -> None:
    torch.manual_seed(3)
    found = ReAGent(probes=5, steps=4).attribute(Forgetful(), tokenizer(), PROMPT)
    torch.manual_seed(3)
    start = torch.rand(5, len(PROMPT)).softmax(1).mean(0)
    assert found.scores == pytest.approx(start.tolist(), abs=1e-6)


def test_where_no_probe_stops_all_count_and_it_is_said() -> None:
    torch.manual_seed(0)
    model = Forgetful()
    found = ReAGent(top_k=1, steps=3).attribute(model, tokenizer(), PROMPT, target=0)
    assert found.finished == 0.0
    assert sum(found.scores) == pytest.approx(1.0)
    assert found.forwards == 1 + 3 + 3 * 6


def test_the_rationale_is_what_enough_probes_agree_on() -> None:
    torch.manual_seed(0)
    method = ReAGent(top_n=2, overlap=3, probes=3, top_k=VOCABULARY)
    found = method.attribute(grouped(), tokenizer(), PROMPT)
    assert len(found.rationale) <= 2
    everything = ReAGent(top_n=6, overlap=3, probes=3, top_k=VOCABULARY)
    assert everything.attribute(grouped(), tokenizer(), PROMPT).rationale == tuple(range(6))


def test_special_tokens_are_never_replaced() -> None:
    words = tokenizer()
    ids = torch.tensor([words.unk_token_id, 4, 5, 6])
    probe = Probe(grouped(), words, ids)
    assert probe.fixed.tolist() == [True, False, False, False]


@pytest.mark.parametrize("kind", ["uniform", "shape", "self"])
def test_a_replacement_is_another_token_and_no_special_one(kind: Any) -> None:
    words = tokenizer()
    probe = Probe(grouped(), words, PROMPT)
    torch.manual_seed(0)
    mask = torch.ones(500, len(PROMPT), dtype=torch.bool)
    drawn = proposal(kind, probe, "").replace(PROMPT, mask)
    assert not (drawn == PROMPT).any()
    assert not (drawn == words.unk_token_id).any()
    assert drawn.unique().numel() == VOCABULARY - 1


def test_what_is_not_masked_stays() -> None:
    probe = Probe(grouped(), tokenizer(), PROMPT)
    mask = torch.zeros(3, len(PROMPT), dtype=torch.bool)
    assert (proposal("uniform", probe, "").replace(PROMPT, mask) == PROMPT).all()


def test_own_proposals_follow_the_models_expectation() -> None:
    model = grouped()
    probe = Probe(model, None, PROMPT)
    torch.manual_seed(0)
    mask = torch.ones(20_000, len(PROMPT), dtype=torch.bool)
    drawn = proposal("self", probe, "").replace(PROMPT, mask)[:, 3]
    shares = torch.bincount(drawn, minlength=VOCABULARY) / len(drawn)
    with torch.no_grad():
        expected = model(input_ids=PROMPT[None]).logits[0, 2].softmax(0)
    expected[PROMPT[3]] = 0
    assert torch.allclose(shares, expected / expected.sum(), atol=0.01)


@pytest.mark.parametrize("masked", ["nano-llama", "no-such-model"])
def test_a_masked_model_that_is_none_is_refused(masked: str) -> None:
    with pytest.raises(InputError, match=r"^masked:"):
        ReAGent(proposal="masked", masked=masked).attribute(grouped(), tokenizer(), PROMPT)
