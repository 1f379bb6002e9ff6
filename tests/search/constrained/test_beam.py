"""Constrained beam search: against transformers, and against scoring every name."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from etude.search.constrained.beam import beam_search
from etude.search.constrained.decoders import decoder
from etude.search.constrained.rules import Candidates, Moves, Names, States, Without
from etude.search.constrained.trie import Trie
from etude.search.embedder import padded
from etude.seeds import seeded

VOCABULARY, END = 40, 1
QUERIES = [[5, 6, 7, 8], [9, 10], [11, 12, 13, 14, 15]]


@cache
def model(kind: str) -> Any:
    """A small one with large weights, so that what it says is far from even."""
    from transformers import (
        BartConfig,
        BartForConditionalGeneration,
        LlamaConfig,
        LlamaForCausalLM,
        T5Config,
        T5ForConditionalGeneration,
    )

    common: dict[str, Any] = {"vocab_size": VOCABULARY, "pad_token_id": 0, "eos_token_id": END}
    with seeded(0):
        if kind == "t5":
            sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
            return T5ForConditionalGeneration(T5Config(**common, **sizes, decoder_start_token_id=0)).eval()
        if kind == "bart":
            sizes = {
                f"{side}_{name}": n
                for side in ("encoder", "decoder")
                for name, n in (("layers", 1), ("attention_heads", 2), ("ffn_dim", 32))
            }
            config = BartConfig(
                **common,
                **sizes,
                d_model=16,
                decoder_start_token_id=END,
                forced_bos_token_id=None,
                forced_eos_token_id=None,
            )
            found: Any = BartForConditionalGeneration(config).eval()
        else:
            config = LlamaConfig(
                **common, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
            )
            found = LlamaForCausalLM(config).eval()
        for tensor in found.parameters():
            tensor.data.mul_(4)
        return found


@cache
def names(count: int = 60) -> list[list[int]]:
    """Of 1 to 4 tokens; some are prefixes of others."""
    draw = random.Random(0)
    found = [[draw.randrange(4, VOCABULARY) for _ in range(draw.randrange(1, 4))] for _ in range(count // 2)]
    found += [[*name, draw.randrange(4, VOCABULARY)] for name in found]
    return [list(name) for name in dict.fromkeys((*name, END) for name in found)]


def log_prob(kind: str, query: list[int], name: list[int]) -> float:
    """Of a name by one pass over all of it."""
    net = model(kind)
    with torch.no_grad():
        if net.config.is_encoder_decoder:
            start = [net.config.decoder_start_token_id, *name[:-1]]
            logits: Tensor = net(torch.tensor([query]), decoder_input_ids=torch.tensor([start])).logits[0]
        else:
            logits = net(torch.tensor([query + name[:-1]])).logits[0, len(query) - 1 :]
    return float(logits.log_softmax(-1)[torch.arange(len(name)), torch.tensor(name)].sum())


@pytest.mark.parametrize("kind", ["t5", "bart", "llama"])
@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_as_transformers_does(kind: str, penalty: float) -> None:
    net, trie = model(kind), Trie.of(names())
    ours = beam_search(
        decoder(net, QUERIES), Names(trie, END), 3, beams=5, max_length=8, length_penalty=penalty
    )
    ids, mask = padded(QUERIES, 0, left=kind == "llama")
    given = ids.shape[1] if kind == "llama" else 1
    theirs = net.generate(
        input_ids=ids,
        attention_mask=mask,
        num_beams=5,
        num_return_sequences=5,
        do_sample=False,
        max_new_tokens=8,
        length_penalty=penalty,
        early_stopping="never",
        output_scores=True,
        return_dict_in_generate=True,
        prefix_allowed_tokens_fn=lambda _, prefix: trie.children(prefix[given:].tolist()) or [0],
    )
    sequences = [row[: row.index(END) + 1] for row in theirs.sequences[:, given:].tolist()]
    found = [hypothesis for query in ours for hypothesis in query]
    assert [list(hypothesis.tokens) for hypothesis in found] == sequences
    assert [hypothesis.score for hypothesis in found] == pytest.approx(
        theirs.sequences_scores.tolist(), abs=1e-5
    )


@pytest.mark.parametrize("kind", ["t5", "bart", "llama"])
def test_with_as_many_beams_as_names_all_are_scored(kind: str) -> None:
    trie = Trie.of(names())
    found = beam_search(decoder(model(kind), QUERIES), Names(trie, END), 3, beams=len(names()), max_length=8)
    for query, hypotheses in zip(QUERIES, found, strict=True):
        expected = {tuple(name): log_prob(kind, query, name) for name in names()}
        assert sum(torch.tensor([*expected.values()]).exp().tolist()) <= 1
        assert {h.tokens: h.log_prob for h in hypotheses} == pytest.approx(expected, abs=1e-5)
        assert [h.tokens for h in hypotheses] == sorted(
            expected, key=lambda name: -expected[name] / len(name)
        )


@dataclass(frozen=True)
class Everything:
    """A rule that allows all tokens at all times."""

    end: int = END

    def start(self, queries: int) -> States:
        """Nothing to remember."""
        return np.zeros((queries, 1), np.int64)

    def moves(self, states: States) -> Moves:
        """Every token from everywhere."""
        rows = np.repeat(np.arange(len(states)), VOCABULARY)
        return Moves(rows, np.tile(np.arange(VOCABULARY), len(states)), np.zeros((len(rows), 1), np.int64))


@pytest.mark.parametrize("kind", ["t5", "bart", "llama"])
def test_the_whole_vocabulary_is_no_constraint(kind: str) -> None:
    bound = beam_search(decoder(model(kind), QUERIES), Everything(), 3, beams=6, max_length=6)
    free = beam_search(decoder(model(kind), QUERIES), None, 3, beams=6, max_length=6, end=END)
    assert [[(h.tokens, h.score) for h in query] for query in bound] == [
        [(h.tokens, h.score) for h in query] for query in free
    ]


def test_one_name_is_found_whatever_the_model() -> None:
    for name in names()[:5]:
        [[found]] = beam_search(
            decoder(model("t5"), QUERIES[:1]), Names(Trie.of([name]), END), 1, beams=1, max_length=8
        )
        assert list(found.tokens) == name


def test_a_new_name_changes_no_log_probability_of_the_others() -> None:
    def scores(catalogue: list[list[int]]) -> dict[tuple[int, ...], float]:
        rule = Names(Trie.of(catalogue), END)
        found = beam_search(decoder(model("t5"), QUERIES[:1]), rule, 1, beams=100, max_length=8)
        return {hypothesis.tokens: hypothesis.log_prob for hypothesis in found[0]}

    before, after = scores(names()[:-1]), scores(names())
    assert {name: after[name] for name in before} == pytest.approx(before, abs=1e-6)


def test_each_query_has_its_own_candidates() -> None:
    several = [names()[:2], names()[2:3], names()[1:6]]
    found = beam_search(decoder(model("t5"), QUERIES), Candidates(several, END), 3, beams=5, max_length=8)
    assert [{h.tokens for h in query} for query in found] == [set(map(tuple, one)) for one in several]


def test_what_is_left_out_costs_the_others_nothing() -> None:
    rule, every = Names(Trie.of(names()), END), range(len(names()))
    whole = beam_search(decoder(model("t5"), QUERIES), rule, 3, beams=len(names()), max_length=8)
    left_out = [every[::2], [], every[:-1]]
    found = beam_search(
        decoder(model("t5"), QUERIES), Without(rule, left_out), 3, beams=len(names()), max_length=8
    )
    for some, before, after in zip(left_out, whole, found, strict=True):
        closed = {tuple(names()[place]) for place in some}
        kept = [(h.tokens, h.score) for h in before if h.tokens not in closed]
        assert [h.tokens for h in after] == [tokens for tokens, _ in kept]
        assert [h.score for h in after] == pytest.approx([score for _, score in kept], abs=1e-5)


def test_queries_together_find_what_each_finds_alone() -> None:
    rule = Names(Trie.of(names()), END)
    together = beam_search(decoder(model("llama"), QUERIES), rule, 3, beams=4, max_length=8)
    for query, expected in zip(QUERIES, together, strict=True):
        [alone] = beam_search(decoder(model("llama"), [query]), rule, 1, beams=4, max_length=8)
        assert [h.tokens for h in alone] == [h.tokens for h in expected]
        assert [h.score for h in alone] == pytest.approx([h.score for h in expected], abs=1e-5)
