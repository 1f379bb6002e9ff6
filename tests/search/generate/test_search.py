"""Search over chunks: the extremes are sampling and reranking, prompts do not touch each other, ends end."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from etude import models
from etude.errors import InputError
from etude.models.boundary import quiet
from etude.search.generate import Generator, Sampling
from etude.search.generate.chunks import Search, search
from etude.search.generate.decoding import draw, log_likelihoods, start
from etude.seeds import seeded

PROMPTS = ["It was late, and the house", "He said", "The sea was grey and the ships lay still"]
NUCLEUS = Sampling(top_p=0.9)


def run(pair: tuple[Any, Any], prompts: Sequence[str], length: int, scorer: Any = None, **plan: Any) -> Any:
    with seeded(3):
        return search(*pair, prompts, length, NUCLEUS.warp(), scorer, Search(**plan))


def test_greedy_is_what_transformers_generates() -> None:
    model, tokenizer = models.load("nano-llama")
    made = Generator(model, tokenizer, Sampling(top_k=1)).generate(PROMPTS, 12)
    for prompt, ours in zip(PROMPTS, made, strict=True):
        ids = torch.tensor([tokenizer(prompt)["input_ids"]])
        mask = torch.ones_like(ids)
        with quiet():
            theirs = model.generate(
                input_ids=ids, attention_mask=mask, max_new_tokens=12, do_sample=False, pad_token_id=0
            )
        assert list(ours.candidates[0].ids) == theirs[0, ids.shape[1] :].tolist()


@torch.no_grad()
def test_draws_are_those_of_a_model_that_reads_all_anew_at_every_step(tiny: tuple[Any, Any]) -> None:
    model, tokenizer = tiny
    ids = [tokenizer(prompt)["input_ids"] for prompt in PROMPTS]
    uniform = torch.rand(3, 9, generator=torch.Generator().manual_seed(1))
    warp = NUCLEUS.warp()
    drawn = draw(model, start(model, ids), uniform, warp, ends=[])
    for row, prompt in enumerate(ids):
        text = list(prompt)
        total = 0.0
        for number in uniform[row]:
            logits = model(input_ids=torch.tensor([text])).logits[:, -1]
            chances = warp(torch.empty(1, 0), logits).softmax(1)[0].cumsum(0)
            token = int((chances > number * chances[-1]).nonzero()[0])
            total += float(logits.log_softmax(1)[0, token])
            text.append(token)
        assert drawn.tokens[row].tolist() == text[len(prompt) :]
        assert float(drawn.log_likelihoods[row]) == pytest.approx(total, abs=1e-4)
        known = log_likelihoods(model, prompt, [text[len(prompt) :], text[len(prompt) : -1]])
        assert float(known[0]) == pytest.approx(total, abs=1e-4)


def test_prompts_do_not_depend_on_each_other(tiny: tuple[Any, Any], longest: Any) -> None:
    together = run(tiny, PROMPTS, 12, longest, samples=3, beams=2, chunk=4)
    with seeded(3):
        alone = search(*tiny, PROMPTS[:1], 12, NUCLEUS.warp(), longest, Search(3, 2, 4))
    assert [each.ids for each in alone[0].candidates] == [each.ids for each in together[0].candidates]


def test_one_beam_of_whole_samples_is_reranking_and_more_samples_never_lower_the_best(
    tiny: tuple[Any, Any], longest: Any
) -> None:
    best = []
    for samples in (1, 3, 8):
        made = run(tiny, PROMPTS, 10, longest, samples=samples)
        assert [len(each.candidates) for each in made] == [samples] * 3
        assert all(each.candidates[0].score == max(c.score for c in each.candidates) for each in made)
        best.append([each.candidates[0].score for each in made])
    assert all(
        few <= more for several in itertools.pairwise(best) for few, more in zip(*several, strict=True)
    )


def test_one_sample_with_a_scorer_is_sampling(tiny: tuple[Any, Any], longest: Any) -> None:
    sampled = run(tiny, PROMPTS, 10)
    scored = run(tiny, PROMPTS, 10, longest, samples=1, beams=1)
    assert [each.text for each in sampled] == [each.text for each in scored]


def test_beams_are_sorted_and_a_text_that_has_ended_stays(tiny: tuple[Any, Any]) -> None:
    class Shortest:
        def read(self, prefixes: Sequence[str]) -> None:
            return None

        def score(self, read: Any, owners: Sequence[int], candidates: Sequence[Any]) -> torch.Tensor:
            return torch.tensor([-float(len(each.ids)) for each in candidates])

    model, tokenizer = tiny
    model.lm_head.weight.data[tokenizer.eos_token_id] += 0.6
    try:
        made = run(tiny, PROMPTS, 12, Shortest(), samples=6, beams=3, chunk=3)
    finally:
        model.lm_head.weight.data[tokenizer.eos_token_id] -= 0.6
    for each in made:
        scores = [candidate.score for candidate in each.candidates]
        assert scores == sorted(scores, reverse=True)
        assert all(tokenizer.eos_token_id not in candidate.ids for candidate in each.candidates)
        beams = each.candidates[:3]
        assert all(beam.finished for beam in beams)
    assert any(len(each.candidates[0].ids) < 12 for each in made)


def test_an_end_in_the_prompt_ends_nothing(tiny: tuple[Any, Any]) -> None:
    _, tokenizer = tiny
    prompt = f"He said.{tokenizer.eos_token}She"
    (made,) = run(tiny, [prompt], 6)
    assert made.sampled > 0


def test_tokens_are_counted_and_prefixes_are_read_once(tiny: tuple[Any, Any], longest: Any) -> None:
    made = run(tiny, PROMPTS, 8, longest, samples=2, beams=2, chunk=4)
    assert longest.read_calls == 1
    assert all(each.sampled <= 2 * 2 * 8 for each in made)
    assert longest.scored >= 3 * 4


def test_of_a_prompt_that_is_too_long_the_end_is_read(tiny: tuple[Any, Any]) -> None:
    _, tokenizer = tiny
    ids = tokenizer(" ".join(PROMPTS * 9))["input_ids"]
    assert len(ids) > 64
    whole = run(tiny, [tokenizer.decode(ids)], 8)
    end = run(tiny, [tokenizer.decode(ids[-56:])], 8)
    assert whole[0].text == end[0].text


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("prompts", {"prompts": "one"}),
        ("prompts", {"prompts": ["  "]}),
        ("length", {"length": 0}),
        ("length", {"length": 64}),
        ("scorer", {"samples": 2}),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(
    tiny: tuple[Any, Any], field: str, changes: dict[str, Any]
) -> None:
    given: dict[str, Any] = {"prompts": PROMPTS, "length": 4} | changes
    with pytest.raises(InputError, match=f"^{field}:"):
        run(tiny, given.pop("prompts"), given.pop("length"), **given)
